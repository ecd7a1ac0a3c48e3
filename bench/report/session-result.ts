/** A recorded run of the session service's benchmark: what is written, and read again for documents. */
import { z } from "zod";

import { spreadOf } from "./percentile.js";
import type { Spread } from "./percentile.js";
import { machineSchema, percentilesSchema } from "./result.js";
import type { PercentileName } from "./result.js";

export const TARGETS = {
  /** p95 of a refresh and of every read. */
  answerP95Ms: 20,
  /** p95 of revoke-all with the receipt of all nodes. */
  receiptP95Ms: 50,
  /** Resident memory of the service with PostgreSQL; 10^6 bytes. */
  residentMB: 300,
} as const;

/** Milliseconds: from when a request was due, or was sent where the next one waits for its answer. */
const roundsSchema = z.array(percentilesSchema).min(1);
const spreadSchema = z.object({ median: z.number(), min: z.number(), max: z.number() });
const memorySchema = z.object({ residentMB: z.number(), peakMB: z.number() });
/** Of one core, in percent. */
const sharesSchema = z.object({
  service: z.number(),
  postgresql: z.number(),
  redis: z.number(),
});

export const sessionResultSchema = z.object({
  recordedAt: z.string(),
  commit: z.string(),
  machine: machineSchema,
  versions: z.object({
    sekisho: z.string(),
    node: z.string(),
    postgresql: z.string(),
    redis: z.string(),
  }),
  configuration: z.object({
    rounds: z.number().int(),
    ratePerS: z.number().int(),
    refreshS: z.number().int(),
    readS: z.number().int(),
    users: z.number().int(),
    sessionsPerUser: z.number().int(),
    nodes: z.number().int(),
    revocationsPerS: z.number().int(),
    hashesMax: z.number().int(),
    connectionsMax: z.number().int(),
    fsync: z.boolean(),
    /** What ran where, in words. */
    cores: z.string(),
  }),
  /** At the fixed rate. */
  answers: z.array(z.object({ name: z.string(), count: z.number().int(), rounds: roundsSchema })),
  requests: z.object({
    measured: z.number().int(),
    /** Sent more than a millisecond after they were due. */
    late: z.number().int(),
    latestMs: z.number(),
  }),
  logins: z.object({
    count: z.number().int(),
    atOnce: z.number().int(),
    perS: z.number(),
    latency: percentilesSchema,
    /** One argon2id alone, in milliseconds. */
    hashMs: spreadSchema,
  }),
  revocations: z.array(
    z.object({ name: z.string(), count: z.number().int(), rounds: roundsSchema }),
  ),
  /** Null where the operating system does not tell. */
  memory: z.object({ postgresql: memorySchema.nullable(), pglite: memorySchema.nullable() }),
  /** Refreshes only, at growing rates, until one is not kept up with. */
  steps: z.array(
    z.object({
      ratePerS: z.number().int(),
      /** Null where it was broken off because too much was unanswered. */
      latency: percentilesSchema.nullable(),
      shares: sharesSchema.nullable(),
    }),
  ),
});
export type SessionResult = z.infer<typeof sessionResultSchema>;
export type Shares = z.infer<typeof sharesSchema>;
export type Timed = SessionResult["answers"][number];

/** A percentile over the rounds. */
export function overRounds({ rounds }: Pick<Timed, "rounds">, name: PercentileName): Spread {
  return spreadOf(rounds.map((round) => round[name]));
}

/** The targets that were missed, in words. */
export function missedTargets(result: SessionResult): readonly string[] {
  const missed: string[] = [];
  const judge = (what: string, value: number, below: number, unit: string) => {
    if (value >= below) missed.push(`${what}: ${value.toFixed(1)} ${unit}, not below ${below}`);
  };
  for (const one of result.answers) {
    judge(`${one.name}, p95`, overRounds(one, "p95").median, TARGETS.answerP95Ms, "ms");
  }
  for (const one of result.revocations) {
    judge(`${one.name}, p95`, overRounds(one, "p95").median, TARGETS.receiptP95Ms, "ms");
  }
  const { postgresql } = result.memory;
  if (postgresql !== null) {
    judge("resident memory", postgresql.residentMB, TARGETS.residentMB, "MB");
  }
  return missed;
}
