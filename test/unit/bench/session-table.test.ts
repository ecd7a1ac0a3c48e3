import { describe, expect, test } from "@jest/globals";

import {
  missedTargets,
  sessionResultSchema,
  type SessionResult,
} from "../../../bench/report/session-result.js";
import { mainTable, sessionServiceTable, stepTable } from "../../../bench/report/session-table.js";

const at = (p95: number) => ({ p50: p95 / 2, p95, p99: p95 * 2 });
const rounds = (...p95s: number[]) => p95s.map(at);

const RESULT: SessionResult = {
  recordedAt: "2026-01-02T03:04:05.000Z",
  commit: "0123456789ab",
  machine: {
    cpu: "a processor",
    cores: 2,
    memoryGiB: 8,
    platform: "linux x64",
    loadAverageBefore: 0,
  },
  versions: { sekisho: "0.1.0", node: "20.20.0", postgresql: "15.1", redis: "7.0.1" },
  configuration: {
    rounds: 3,
    ratePerS: 200,
    refreshS: 8,
    readS: 3,
    users: 40,
    sessionsPerUser: 8,
    nodes: 3,
    revocationsPerS: 10,
    hashesMax: 2,
    connectionsMax: 64,
    fsync: true,
    cores: "the service on one core",
  },
  answers: [
    { name: "refresh", count: 4800, rounds: rounds(6, 30, 8) },
    { name: "users", count: 1800, rounds: rounds(3, 4, 5) },
  ],
  requests: { measured: 6600, late: 66, latestMs: 3 },
  logins: { count: 400, atOnce: 2, perS: 51, latency: at(40), hashMs: at3(9, 10, 11) },
  revocations: [{ name: "revoke-all", count: 120, rounds: rounds(20, 21, 22) }],
  memory: {
    postgresql: { residentMB: 150, peakMB: 180 },
    pglite: { residentMB: 400, peakMB: 450 },
  },
  steps: [
    { ratePerS: 200, latency: at(8), shares: { service: 44.6, postgresql: 20, redis: 2 } },
    { ratePerS: 800, latency: null, shares: null },
  ],
};

function at3(min: number, median: number, max: number) {
  return { min, median, max };
}

const rowOf = (table: string, name: string) =>
  table.split("\n").find((line) => line.startsWith(`| ${name}`));

describe("the targets of the session service", () => {
  test("are met where the median of the rounds is below them", () => {
    expect(missedTargets(RESULT)).toEqual([]);
  });

  test.each([
    [{ answers: [{ name: "users", count: 3, rounds: rounds(20, 20, 1) }] }, "users, p95: 20.0 ms"],
    [{ revocations: [{ name: "revoke", count: 1, rounds: rounds(50) }] }, "revoke, p95: 50.0 ms"],
    [
      { memory: { postgresql: { residentMB: 300, peakMB: 300 }, pglite: null } },
      "resident memory: 300.0 MB",
    ],
  ])("are missed by what is not below: %#", (change, told) => {
    expect(missedTargets({ ...RESULT, ...change })).toEqual([expect.stringContaining(told)]);
  });

  test("are none for what the operating system does not tell, and for PGlite", () => {
    const pglite = { residentMB: 900, peakMB: 900 };
    expect(missedTargets({ ...RESULT, memory: { postgresql: null, pglite } })).toEqual([]);
  });
});

describe("the table of the session service", () => {
  test("has the median and the spread of p95 beside the target", () => {
    expect(rowOf(mainTable(RESULT), "refresh")).toBe(
      "| refresh, 200/s | 4.00 | 8.00 (6.00 – 30.00) | 16.00 | p95 < 20 ms |",
    );
  });

  test("marks what is missed", () => {
    const slow = { ...RESULT, answers: [{ name: "users", count: 3, rounds: rounds(20) }] };
    expect(rowOf(mainTable(slow), "users")).toContain("p95 < 20 ms (missed)");
    expect(sessionServiceTable(slow)).toMatch(/^Targets missed .*users, p95: 20\.0 ms/);
  });

  test("says which rate is not kept up with", () => {
    const table = stepTable(RESULT);
    expect(rowOf(table, "200")).toBe("| 200 | 4.00 | 8.00 | 16.00 | 45 % | 20 % | 2 % |");
    expect(rowOf(table, "800")).toBe("| 800 | does not keep up | – | – | – | – | – |");
  });

  test("says where, when and with what, and how many requests were late", () => {
    const text = sessionServiceTable(RESULT);
    expect(text).toMatch(/^All targets were met\./);
    expect(text).toContain("commit 0123456789ab");
    expect(text).toContain("PostgreSQL 15.1");
    expect(text).toContain("1.00 %");
  });
});

test("a result is read as it was written", () => {
  expect(sessionResultSchema.parse(JSON.parse(JSON.stringify(RESULT)))).toEqual(RESULT);
});
