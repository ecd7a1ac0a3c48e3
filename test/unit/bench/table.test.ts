import { describe, expect, test } from "@jest/globals";

import { addedMs, keepsLimit, resultSchema } from "../../../bench/report/result.js";
import type { BenchmarkResult, Round } from "../../../bench/report/result.js";
import { latencyTable, markdownTable, resultPage, verdict } from "../../../bench/report/table.js";

function roundAdding(p95: number): Round {
  return {
    first: "without",
    without: { p50: 1, p95: 2, p99: 3 },
    with: { p50: 1.5, p95: 2 + p95, p99: 7 },
  };
}

const ROUNDS = [roundAdding(3), roundAdding(1), roundAdding(8)];

const RESULT: BenchmarkResult = {
  recordedAt: "2026-01-02T03:04:05.000Z",
  commit: "0123456789ab",
  machine: { cpu: "A CPU", cores: 2, memoryGiB: 4, platform: "linux x64", loadAverageBefore: 0.5 },
  versions: { sekisho: "0.1.0", node: "20.11.0", envoy: "1.40.0", redis: "7.0.15" },
  configuration: {
    rounds: 3,
    secondsPerSide: 30,
    warmUpS: 2,
    ratePerS: 500,
    tokens: 1000,
    connectionsMax: 64,
    envoyThreads: 1,
    algorithm: "ES256",
  },
  rounds: ROUNDS,
  requests: { measured: 90_000, warmUp: 6000, lateWithout: 45, lateWith: 90, latestMs: 4.321 },
  sidecar: { checks: 45_000, meanMs: 0.0512, p50UpToMs: 0.05, p95UpToMs: 0.1, p99UpToMs: null },
};

describe("what the filter adds", () => {
  test("is the difference of each round, and of those the median", () => {
    expect(addedMs(ROUNDS, "p95")).toEqual({ median: 3, min: 1, max: 8 });
    expect(verdict(ROUNDS)).toBe(
      "Added p95: 3.00 ms (median of 3; 1.00 to 8.00 ms), below the limit of 5 ms.",
    );
  });

  test("keeps the limit only below it", () => {
    expect(keepsLimit([roundAdding(4.99)])).toBe(true);
    expect(keepsLimit([roundAdding(5)])).toBe(false);
    expect(verdict([roundAdding(5)])).toContain("not below the limit");
  });

  test("stands below the rounds", () => {
    const lines = latencyTable(ROUNDS).split("\n");
    expect(lines).toHaveLength(2 + 6 + 1);
    expect(lines[2]).toBe("| 1 | without | 1.00 | 2.00 | 3.00 |");
    expect(lines[3]).toBe("| 1 | with Sekisho | 1.50 | 5.00 | 7.00 |");
    expect(lines[8]).toContain("**3.00 (1.00 – 8.00)**");
  });
});

describe("a result", () => {
  test("is the same after it was written and read", () => {
    expect(resultSchema.parse(JSON.parse(JSON.stringify(RESULT)))).toEqual(RESULT);
  });

  test("is a page that says what was sent late, and what the sidecar says", () => {
    const page = resultPage(RESULT);
    expect(page).toContain("0.10 % of those without, 0.20 % of those with Sekisho");
    expect(page).toContain("p50 ≤ 0.05 ms, p95 ≤ 0.1 ms, p99 beyond all buckets");
    expect(page).toContain("Envoy 1.40.0, Redis 7.0.15");
  });
});

test("a cell cannot end itself", () => {
  expect(markdownTable([{ title: "a|b" }], [["c|d"]])).toBe("| a\\|b |\n|---|\n| c\\|d |");
});
