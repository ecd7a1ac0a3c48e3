/** A recorded run of the benchmark: what is written, and read again for the README. */
import { z } from "zod";

import { spreadOf } from "./percentile.js";
import type { Spread } from "./percentile.js";

/** Added p95 through Envoy must stay below this. */
export const ADDED_P95_LIMIT_MS = 5;

export const percentilesSchema = z.object({ p50: z.number(), p95: z.number(), p99: z.number() });
export type PercentileName = keyof z.infer<typeof percentilesSchema>;

const roundSchema = z.object({
  /** Which side was measured first. */
  first: z.enum(["without", "with"]),
  /** Milliseconds from the moment at which a request was due to the end of its answer. */
  without: percentilesSchema,
  with: percentilesSchema,
});
export type Round = z.infer<typeof roundSchema>;

export const machineSchema = z.object({
  cpu: z.string(),
  cores: z.number().int(),
  memoryGiB: z.number(),
  platform: z.string(),
  /** Of the minute before the run: how busy the machine was with other things. */
  loadAverageBefore: z.number(),
});

export const resultSchema = z.object({
  recordedAt: z.string(),
  commit: z.string(),
  machine: machineSchema,
  versions: z.object({
    sekisho: z.string(),
    node: z.string(),
    envoy: z.string(),
    redis: z.string(),
  }),
  configuration: z.object({
    rounds: z.number().int(),
    secondsPerSide: z.number().int(),
    warmUpS: z.number().int(),
    ratePerS: z.number().int(),
    tokens: z.number().int(),
    connectionsMax: z.number().int(),
    envoyThreads: z.number().int(),
    algorithm: z.string(),
  }),
  rounds: z.array(roundSchema).min(1),
  requests: z.object({
    /** Counted ones, both sides. */
    measured: z.number().int(),
    warmUp: z.number().int(),
    /** Sent more than a millisecond after they were due, of the counted ones. */
    lateWithout: z.number().int(),
    lateWith: z.number().int(),
    latestMs: z.number(),
  }),
  /** What the sidecar says about the counted checks (sekisho_check_duration_seconds). */
  sidecar: z.object({
    checks: z.number().int(),
    meanMs: z.number(),
    /** Upper bounds of the histogram's buckets in which these percentiles lie; null: beyond all. */
    p50UpToMs: z.number().nullable(),
    p95UpToMs: z.number().nullable(),
    p99UpToMs: z.number().nullable(),
  }),
});
export type BenchmarkResult = z.infer<typeof resultSchema>;

/** What the filter adds to a percentile, over the rounds, in milliseconds. */
export function addedMs(rounds: readonly Round[], name: PercentileName): Spread {
  return spreadOf(rounds.map((round) => round.with[name] - round.without[name]));
}

export function keepsLimit(rounds: readonly Round[]): boolean {
  return addedMs(rounds, "p95").median < ADDED_P95_LIMIT_MS;
}
