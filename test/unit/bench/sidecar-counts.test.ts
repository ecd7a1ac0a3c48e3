import { describe, expect, test } from "@jest/globals";

import {
  addCounts,
  boundOfPercentileMs,
  countsBetween,
  readSidecarCounts,
} from "../../../bench/load/sidecar-counts.js";
import { authzMetrics } from "../../../src/authz/authz-metrics.js";
import { NO_ENTRIES } from "../../../src/authz/follow/local-state.js";

const IDLE = {
  stalenessMs: () => 0,
  entries: () => NO_ENTRIES,
  saturated: () => false,
  seq: () => 0,
  keptAgeMs: () => undefined,
  connections: () => 0,
  keyAgesMs: () => [],
};

describe("what the sidecar counts", () => {
  test("is read from its own page", async () => {
    const metrics = authzMetrics(IDLE);
    const before = readSidecarCounts((await metrics.page()).text);
    for (const durationMs of [0.04, 0.05, 0.2, 600]) {
      metrics.checked("allow", "allowed", durationMs);
    }
    metrics.checked("deny", "token_expired", 0.04);
    const during = countsBetween(before, readSidecarCounts((await metrics.page()).text));
    expect(during.allowed).toBe(4);
    expect(during.durationSumMs).toBeCloseTo(600.33, 6);
    expect(during.durations[0]).toEqual({ upToMs: 0.05, count: 3 });
    expect(during.durations.at(-1)).toEqual({ upToMs: Infinity, count: 5 });
    expect(boundOfPercentileMs(during, 60)).toBe(0.05);
    expect(boundOfPercentileMs(during, 61)).toBe(0.25);
    expect(boundOfPercentileMs(during, 80)).toBe(0.25);
    expect(boundOfPercentileMs(during, 81)).toBe(Infinity);
    expect(addCounts(during, during).allowed).toBe(8);
  });

  test("is refused where a metric is missing", () => {
    expect(() => readSidecarCounts("# HELP nothing\n")).toThrow("no metric");
  });
});
