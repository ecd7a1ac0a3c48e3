import { describe, expect, test } from "@jest/globals";

import {
  capacityBlock,
  masterShare,
  readerCosts,
  revocationsPerSAtHalf,
} from "../../../bench/report/capacity.js";
import {
  burstResultSchema,
  distributionOf,
  propagationResultSchema,
  scaleResultSchema,
} from "../../../bench/report/fleet-result.js";
import type {
  BurstResult,
  PropagationResult,
  ScaleResult,
} from "../../../bench/report/fleet-result.js";
import { fleetBlock } from "../../../bench/report/fleet-summary.js";
import {
  burstPage,
  burstTables,
  propagationPage,
  propagationTables,
  scalePage,
  scaleTables,
} from "../../../bench/report/fleet-table.js";

const RUN = {
  recordedAt: "2026-01-02T03:04:05.000Z",
  commit: "0123456789ab",
  machine: { cpu: "A CPU", cores: 2, memoryGiB: 4, platform: "linux x64", loadAverageBefore: 0.5 },
  versions: { sekisho: "0.1.0", node: "20.11.0", redis: "7.0.15" },
};

function burstRound(appliedMs: number, notAllowed: number) {
  return {
    ...{ writtenMs: 90, appliedMs, stalenessMaxMs: appliedMs / 2, checks: 100, notAllowed },
    ...{ p50Ms: 1, p99Ms: 12.5, eventLoopMaxMs: 9, shares: { Redis: 25, node: 80.4 } },
  };
}

const BURST: BurstResult = {
  ...RUN,
  bursts: [
    { entries: 10_000, format: 1, rounds: [burstRound(1000, 10), burstRound(500, 0)] },
    { entries: 10_000, format: 2, rounds: [burstRound(200, 0), burstRound(250, 0)] },
  ],
  starts: [{ entries: 10_000, format: 2, rounds: [{ readyMs: 120.4, bytesPerEntry: 190 }] }],
};

const spreadOut = (p50: number) => ({ p50, p95: 2 * p50, p99: 3 * p50, max: 4 * p50 });

function trafficRound(redisUsPerDelivery: number) {
  return {
    ...{ any: spreadOut(1), last: spreadOut(2), lastAcknowledged: spreadOut(1.5) },
    ...{ redisUsPerDelivery, disturbed: 1, shares: { Redis: 12.34, readers: 50 } },
  };
}

const PROPAGATION: PropagationResult = {
  ...RUN,
  nodes: [
    {
      ...{ nodes: 10, everyMs: 50, revocations: 60 },
      rounds: [58, 60].map((completeReceipts) => ({
        ...{ published: spreadOut(2), acknowledged: spreadOut(1), receipt: spreadOut(5) },
        ...{ completeReceipts, shares: { Redis: 2, nodes: 20 } },
      })),
    },
  ],
  fleets: [
    {
      ...{ readers: 50, replicas: 0, processes: 2, idleUsPerS: 1000, quietUsPerReader: 200 },
      traffic: [
        { everyMs: 20, revocations: 100, rounds: [20, 30, 25].map(trafficRound) },
        { everyMs: 1000, revocations: 3, rounds: [trafficRound(99)] },
      ],
      receipts: { requested: 5, complete: 5, afterMs: spreadOut(6) },
    },
    {
      ...{ readers: 50, replicas: 1, processes: 2, idleUsPerS: 1000, quietUsPerReader: 300 },
      traffic: [{ everyMs: 20, revocations: 100, rounds: [trafficRound(40)] }],
      receipts: { requested: 5, complete: 4, afterMs: spreadOut(7) },
    },
  ],
};

function fleetRound(lastMs: number) {
  return {
    ...{ writtenMs: 80, firstMs: 100, lastMs, stalenessMaxMs: 333, redisUsPerDelivery: 2 },
    ...{ loopP999Ms: 3, loopMaxMs: 8, disturbed: 0, shares: { Redis: 30 } },
  };
}

const SCALE: ScaleResult = {
  ...RUN,
  bursts: [
    { readers: 1, entries: 10_000, format: 2, rounds: [fleetRound(200)] },
    { readers: 50, entries: 10_000, format: 2, rounds: [fleetRound(4000), fleetRound(5000)] },
  ],
  starts: [
    {
      ...{ readers: 50, entries: 10_000, format: 2 },
      rounds: [{ firstMs: 900, lastMs: 3000, redisUsPerDelivery: 1, shares: { Redis: 20 } }],
    },
  ],
};

const cellsOf = (table: string) =>
  table.split("\n").map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

test("a distribution consists of samples that were measured", () => {
  const samples = Array.from({ length: 200 }, (_, i) => 200 - i);
  expect(distributionOf(samples)).toEqual({ p50: 100, p95: 190, p99: 198, max: 200 });
  expect(() => distributionOf([])).toThrow(RangeError);
});

describe("a recorded run", () => {
  test.each([
    [burstResultSchema, BURST],
    [propagationResultSchema, PROPAGATION],
    [scaleResultSchema, SCALE],
  ])("is read as it was written", (schema, result) => {
    expect(schema.parse(JSON.parse(JSON.stringify(result)))).toEqual(result);
  });

  test.each([burstPage(BURST), propagationPage(PROPAGATION), scalePage(SCALE)])(
    "has a page with tables whose rows are complete, and with where it was made",
    (page) => {
      expect(page).toContain("2026-01-02T03:04:05.000Z, commit 0123456789ab");
      expect(page).toContain("Sekisho 0.1.0, Node.js 20.11.0, Redis 7.0.15");
      for (const table of page.split("\n\n").filter((part) => part.startsWith("|"))) {
        const widths = new Set(cellsOf(table).map((cells) => cells.length));
        expect(widths.size).toBe(1);
      }
    },
  );
});

describe("a burst at one node", () => {
  test("shows both formats, each with the median and spread of its rounds", () => {
    const [, , first, second] = cellsOf(burstTables(BURST));
    expect(first?.slice(0, 4)).toEqual([
      "10,000",
      "1",
      "15,000 (10,000 – 20,000)",
      "750 (500 – 1,000)",
    ]);
    expect(second?.slice(0, 3)).toEqual(["10,000", "2", "45,000 (40,000 – 50,000)"]);
    expect(first?.slice(5, 7)).toEqual(["500", "5.0 % of 200"]);
    expect(first?.at(-1)).toBe("Redis 25 %, node 80 %");
  });
});

describe("propagation", () => {
  test("counts complete receipts over all rounds", () => {
    const [, , fromCall] = cellsOf(propagationTables(PROPAGATION));
    expect(fromCall).toEqual([
      ...["10", "50", "refused, from the call", "2.00", "4.00", "6.00", "8.00"],
      ...["118 of 120", "Redis 2.0 %, nodes 20 %"],
    ]);
  });

  test("names what a delivery costs from the quick traffic alone", () => {
    const [alone, replicated] = propagationTables(PROPAGATION).split("\n").slice(-2);
    expect(alone).toBe("| 50 | 200 | 25.0 (20.0 – 30.0) | 5 of 5 | 6 | 4 |");
    expect(replicated).toBe("| 50, with 1 replica | 300 | 40.0 | 4 of 5 | 7 | 1 |");
  });
});

describe("fleets", () => {
  test("apply as many entries a second as all readers together", () => {
    const [, , alone, fleet] = cellsOf(scaleTables(SCALE));
    expect(alone?.slice(0, 4)).toEqual(["1", "10,000", "2", "50,000"]);
    expect(fleet?.[3]).toBe("112,500 (100,000 – 125,000)");
  });

  test("name the event loop's delay where a reader is alone in its process", () => {
    const [, , alone, fleet] = cellsOf(scaleTables(SCALE));
    expect(alone?.[9]).toBe("3.0, 8.0");
    expect(fleet?.[9]).toBe("–");
  });
});

describe("the README's block", () => {
  const block = fleetBlock({ burst: BURST, propagation: PROPAGATION, scale: SCALE });

  test("has the two formats below each other", () => {
    const rows = block.split("\n").filter((line) => line.startsWith("| 10,000"));
    expect(rows).toEqual([
      "| 10,000 | 1 | 750 | 13,333 | 375 | 5.0 % | 12.50 |",
      "| 10,000 | 2 | 225 | 44,444 | 113 | 0.0 % | 12.50 |",
    ]);
  });

  test("has a row for each fleet on a Redis without replicas", () => {
    const rows = block.split("\n").filter((line) => line.startsWith("| 50"));
    expect(rows).toEqual(["| 50 | 20 ms | 1.00 | 3.00 | 6.00 | 10,000 | 4,500 | 3,000 |"]);
  });
});

describe("what a master carries", () => {
  const costs = readerCosts(PROPAGATION, SCALE);

  test("is computed from the fleet of 50 readers", () => {
    expect(costs).toEqual({
      ...{ quiet: 200, delivery: 25, burst: 2, start: 1 },
      replicated: { quiet: 300, delivery: 40 },
    });
    expect(() => readerCosts({ ...PROPAGATION, fleets: [] }, SCALE)).toThrow("no fleet of 50");
  });

  test("grows with nodes and revocations", () => {
    expect(masterShare(costs, { nodes: 100, revocationsPerS: 0 })).toBeCloseTo(0.02);
    expect(masterShare(costs, { nodes: 100, revocationsPerS: 10 })).toBeCloseTo(0.045);
    expect(masterShare(costs, { nodes: 100, revocationsPerS: 192 })).toBeCloseTo(0.5);
    expect(revocationsPerSAtHalf(costs, 100)).toBeCloseTo(192);
    expect(revocationsPerSAtHalf(costs, 3000)).toBeLessThan(0);
  });

  test("is a table with the formula and the machine", () => {
    const block = capacityBlock(PROPAGATION, SCALE);
    expect(block).toContain("nodes × (200.0 µs + revocations/s × 25.0 µs)");
    expect(block).toContain("40,000 deliveries a second, one at a time, fill the core");
    expect(block).toContain(
      "With a replica that must confirm, the first two are 300.0 µs and 40.0 µs",
    );
    expect(block).toContain("A CPU, 2 cores");
    const rows = block.split("\n").filter((line) => line.startsWith("| 1"));
    expect(rows).toEqual([
      "| 10 | 0.2 % | 1,992 | 0.20 s | 1.0 s | one that has other work too |",
      "| 100 | 2.0 % | 192 | 2.0 s | 10.0 s | one that has other work too |",
      "| 1,000 | 20.0 % | 12 | 20.0 s | 100.0 s | one with a core of its own |",
    ]);
    expect(block).toContain("| 3,000 | 60.0 % | none |");
  });
});
