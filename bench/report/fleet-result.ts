/**
 * Recorded runs of the benchmarks with many revocations or many nodes: what is written, and read
 * again for the documents. Milliseconds, unless a name says something else.
 */
import { z } from "zod";

import { percentileOf, spreadOf } from "./percentile.js";
import type { Spread } from "./percentile.js";
import { machineSchema } from "./result.js";

const runSchema = z.object({
  recordedAt: z.string(),
  commit: z.string(),
  machine: machineSchema,
  versions: z.object({ sekisho: z.string(), node: z.string(), redis: z.string() }),
});
export type RecordedRun = z.infer<typeof runSchema>;

const distributionSchema = z.object({
  p50: z.number(),
  p95: z.number(),
  p99: z.number(),
  max: z.number(),
});
export type Distribution = z.infer<typeof distributionSchema>;

/** @throws RangeError for no samples */
export function distributionOf(samples: readonly number[]): Distribution {
  const sorted = Float64Array.from(samples).sort();
  return {
    p50: percentileOf(sorted, 50),
    p95: percentileOf(sorted, 95),
    p99: percentileOf(sorted, 99),
    max: percentileOf(sorted, 100),
  };
}

/** What each kind of process took, in percent of one core. */
const sharesSchema = z.record(z.string(), z.number());
export type Shares = z.infer<typeof sharesSchema>;

const formatSchema = z.union([z.literal(1), z.literal(2)]);

const roundsOf = <Round extends z.ZodType>(round: Round) => z.array(round).min(1);

/** A burst at one node that answers checks. */
const burstRoundSchema = z.object({
  /** Until the last entry was in the log. */
  writtenMs: z.number(),
  /** Until the node's row confirmed the last entry. */
  appliedMs: z.number(),
  stalenessMaxMs: z.number(),
  checks: z.int(),
  notAllowed: z.int(),
  p50Ms: z.number(),
  p99Ms: z.number(),
  eventLoopMaxMs: z.number(),
  shares: sharesSchema,
});
export type BurstRound = z.infer<typeof burstRoundSchema>;

const nodeStartSchema = z.object({
  /** Later than a node on an empty log. */
  readyMs: z.number(),
  bytesPerEntry: z.number(),
});
export type NodeStart = z.infer<typeof nodeStartSchema>;

const ofEntries = { entries: z.int(), format: formatSchema };

export const burstResultSchema = runSchema.extend({
  bursts: z.array(z.object({ ...ofEntries, rounds: roundsOf(burstRoundSchema) })),
  starts: z.array(z.object({ ...ofEntries, rounds: roundsOf(nodeStartSchema) })),
});
export type BurstResult = z.infer<typeof burstResultSchema>;

/** Redis was away, and is back with its data. */
const recoveryCaseSchema = z.object({
  authority: z.enum(["redis", "database"]),
  replicas: z.int(),
  /** From its first answer to the first check that was allowed again, by restart. */
  ms: z.array(z.number()).min(1),
});
export type RecoveryCase = z.infer<typeof recoveryCaseSchema>;

export const recoveryResultSchema = runSchema.extend({ cases: z.array(recoveryCaseSchema) });
export type RecoveryResult = z.infer<typeof recoveryResultSchema>;

/** Real nodes: each revocation is refused by one of them, in turn, and confirmed by all. */
const refusalRoundSchema = z.object({
  /** From the call that publishes to the first refusal. */
  published: distributionSchema,
  /** From the acknowledgement to the first refusal; 0: refused before. */
  acknowledged: distributionSchema,
  /** From the acknowledgement to the receipt of the last node. */
  receipt: distributionSchema,
  completeReceipts: z.int(),
  shares: sharesSchema,
});
export type RefusalRound = z.infer<typeof refusalRoundSchema>;

const trafficRoundSchema = z.object({
  /** From the call that publishes to each reader that applied the entry. */
  any: distributionSchema,
  /** To the last reader that did. */
  last: distributionSchema,
  /** From the acknowledgement to the last reader; 0: applied before. */
  lastAcknowledged: distributionSchema,
  /** Redis, per entry and reader, without what publishing costs and what it takes when idle. */
  redisUsPerDelivery: z.number(),
  /** How often a reader lost its connection, or its place in the log. */
  disturbed: z.int(),
  shares: sharesSchema,
});
export type TrafficRound = z.infer<typeof trafficRoundSchema>;

const trafficSchema = z.object({
  everyMs: z.number(),
  revocations: z.int(),
  rounds: roundsOf(trafficRoundSchema),
});
export type Traffic = z.infer<typeof trafficSchema>;

const fleetSchema = z.object({
  readers: z.int(),
  /** Of Redis; half of them must confirm each revocation and each proof. */
  replicas: z.int(),
  processes: z.int(),
  /** Redis, per second, before any reader was connected. */
  idleUsPerS: z.number(),
  /** Redis beyond that, per reader and second, while nothing is published. */
  quietUsPerReader: z.number(),
  traffic: roundsOf(trafficSchema),
  /** From the acknowledgement, complete or not. */
  receipts: z.object({ requested: z.int(), complete: z.int(), afterMs: distributionSchema }),
});
export type Fleet = z.infer<typeof fleetSchema>;

export const propagationResultSchema = runSchema.extend({
  nodes: z.array(
    z.object({
      nodes: z.int(),
      everyMs: z.number(),
      revocations: z.int(),
      rounds: roundsOf(refusalRoundSchema),
    }),
  ),
  fleets: z.array(fleetSchema),
});
export type PropagationResult = z.infer<typeof propagationResultSchema>;

const fleetBurstRoundSchema = z.object({
  writtenMs: z.number(),
  /** Until the first and the last reader had applied everything. */
  firstMs: z.number(),
  lastMs: z.number(),
  /** Of any reader. */
  stalenessMaxMs: z.number(),
  redisUsPerDelivery: z.number(),
  /** How late the readers' event loops were. */
  loopP999Ms: z.number(),
  loopMaxMs: z.number(),
  /** How often a reader lost its connection, or its place in the log. */
  disturbed: z.int(),
  shares: sharesSchema,
});
export type FleetBurstRound = z.infer<typeof fleetBurstRoundSchema>;

const fleetStartRoundSchema = z.object({
  /** Until the first and the last reader was fresh. */
  firstMs: z.number(),
  lastMs: z.number(),
  redisUsPerDelivery: z.number(),
  shares: sharesSchema,
});
export type FleetStartRound = z.infer<typeof fleetStartRoundSchema>;

const ofFleet = { readers: z.int(), ...ofEntries };

export const scaleResultSchema = runSchema.extend({
  bursts: z.array(z.object({ ...ofFleet, rounds: roundsOf(fleetBurstRoundSchema) })),
  starts: z.array(z.object({ ...ofFleet, rounds: roundsOf(fleetStartRoundSchema) })),
});
export type ScaleResult = z.infer<typeof scaleResultSchema>;

/** A number of each round: their median, least and greatest. */
export function over<Round>(rounds: readonly Round[], pick: (round: Round) => number): Spread {
  return spreadOf(rounds.map(pick));
}
