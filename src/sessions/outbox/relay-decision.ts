/**
 * What the relay concludes from what it sees of a partition's log: pure functions, no I/O.
 *
 * The database is the truth, and `log_records` says what the log must be at least. Whatever falls
 * short of it has lost something, or may have, and is made anew. More than the record is normal: an
 * instance ended between publishing and recording.
 */
import { CUT_OFF_MARGIN_S } from "../../revocation-log/horizon.js";
import type { KeeperFacts } from "../../revocation-log/log-admin.js";
import { sameServer } from "../../revocation-log/log-server.js";
import type { LogMeta } from "../../revocation-log/revocation-log.js";

/** A row of `log_records`: what the database knows of a partition's log. */
export interface LogRecord {
  /** undefined: no restore has got so far yet. */
  readonly generation: string | undefined;
  /** A restore has begun that was to make this one, and has not recorded it. */
  readonly restoringGeneration: string | undefined;
  /** The log of this generation has had an entry with it. */
  readonly seq: number;
  /** Up to which entry of this generation the log was searched for what is not from here. */
  readonly importedEntryId: string | undefined;
  /** On which timeline of the database it was searched last. */
  readonly searchedTimeline: string;
  /** The database's now. Another one after a failover: it may have forgotten what is in the log. */
  readonly timeline: string;
  /** Everything that was published before this is imported; Unix milliseconds of the database's. */
  readonly searchedAtMs: number;
  /** When this was read, by the same clock: no later than it. */
  readonly readAtMs: number;
  /** Revocations from before may be lost, to database and log alike; Unix milliseconds. */
  readonly coversFromMs: number | undefined;
  readonly restoreRequestedAtMs: number | undefined;
  /** undefined: the restore that made this generation has not been put down in the audit trail. */
  readonly restoredAtMs: number | undefined;
}

export interface LogRequirements {
  readonly horizonS: number;
  readonly partitions: number;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /** The largest difference between this machine's clock and the server's. */
  readonly clockDifferenceMaxMs: number;
}

/** Why a log is restored. The label of a metric, and a word in the audit trail. */
export type RestoreCause =
  | "log_missing"
  | "log_unreadable"
  | "restore_abandoned"
  | "authority_taken_over"
  | "server_changed"
  | "generation_differs"
  | "log_fell"
  | "entries_missing"
  | "horizon_too_short"
  | "partitions_differ"
  | "requested";

/** What keeps the relay from its work, in words for the person who must mend it. */
export interface RelayProblem {
  readonly code:
    | "redis_unavailable"
    | "not_a_master"
    | "clock_difference"
    | "other_log"
    | "log_retired"
    | "database_unavailable"
    | "publishing_refused"
    | "restore_failed"
    | "unexpected";
  readonly message: string;
}

export type LogJudgement =
  | { readonly kind: "sound"; readonly meta: LogMeta }
  | { readonly kind: "wait"; readonly problem: RelayProblem }
  | { readonly kind: "restore"; readonly cause: RestoreCause };

/** `record`: undefined where the database has never had a log for this partition. */
export function judgeLog(
  facts: KeeperFacts,
  record: LogRecord | undefined,
  requirements: LogRequirements,
  nowMs: number,
): LogJudgement {
  const problem = whyUnusable(facts, requirements, nowMs);
  if (problem !== undefined) return { kind: "wait", problem };
  const { serverRunId, serverReplId, meta } = facts;
  if (meta === "missing") return restore("log_missing");
  if (meta === "unreadable") return restore("log_unreadable");
  // Whoever set the marker does not hold the lock any more: this relay does.
  if (meta === "restoring" || meta.restoring) return restore("restore_abandoned");
  if (meta.authority === "redis") return restore("authority_taken_over");
  const server = { runId: serverRunId, replId: serverReplId };
  if (!sameServer(meta, server)) return restore("server_changed");
  if (meta.generation !== record?.generation) return restore("generation_differs");
  // Begun in another Redis, perhaps: nothing can be acknowledged until one is done.
  if (record.restoringGeneration !== undefined) return restore("restore_abandoned");
  if (meta.seq < record.seq) return restore("log_fell");
  if (meta.partitions !== requirements.partitions) return restore("partitions_differ");
  if (meta.horizonS < requirements.horizonS) return restore("horizon_too_short");
  if (record.restoreRequestedAtMs !== undefined) return restore("requested");
  return { kind: "sound", meta };
}

/** Why the log in this server cannot be kept now, nor be made anew; undefined: it can. */
function whyUnusable(
  { role, serverMs, meta }: KeeperFacts,
  requirements: LogRequirements,
  nowMs: number,
): RelayProblem | undefined {
  if (role !== "master") {
    const message = `this Redis is a ${role}: point SEKISHO_REDIS_URL at the master, or wait for the failover`;
    return { code: "not_a_master", message };
  }
  const differenceMs = Math.abs(serverMs - nowMs);
  if (differenceMs > requirements.clockDifferenceMaxMs) {
    const message =
      `the clocks of Redis and of this machine differ by ${Math.round(differenceMs)} ms, allowed ` +
      `are ${requirements.clockDifferenceMaxMs} ms: set the clocks (NTP)`;
    return { code: "clock_difference", message };
  }
  const retired = retirementOf(meta);
  return retired === undefined ? undefined : { code: "log_retired", message: retired };
}

/** Causes that a relay elsewhere does nothing about: to it, its own Redis is the one that counts. */
const OTHER_LOG: ReadonlySet<RestoreCause> = new Set([
  "log_missing",
  "log_unreadable",
  "authority_taken_over",
  "generation_differs",
]);

/**
 * What is wrong with the log in this instance's Redis while another instance relays; undefined:
 * nothing, or a restore is under way.
 */
export function judgeFromAside(
  facts: KeeperFacts,
  record: LogRecord | undefined,
  requirements: LogRequirements,
  nowMs: number,
): RelayProblem | undefined {
  if (record?.generation === undefined || record.restoringGeneration !== undefined)
    return undefined;
  const judged = judgeLog(facts, record, requirements, nowMs);
  if (judged.kind === "wait") return judged.problem;
  if (judged.kind === "sound" || !OTHER_LOG.has(judged.cause)) return undefined;
  return {
    code: "other_log",
    message:
      "the log in this Redis is not the one that the database means, so nothing is published from " +
      "here at once: do all instances of the session service have the same SEKISHO_REDIS_URL, and " +
      "does it lead to one Redis?",
  };
}

function retirementOf(meta: KeeperFacts["meta"]): string | undefined {
  if (typeof meta === "string" || meta.retiredAtMs === undefined) return undefined;
  return (
    `the log in this Redis was retired at ${new Date(meta.retiredAtMs).toISOString()}: point ` +
    "SEKISHO_REDIS_URL at the Redis that replaces it, or open this one again with " +
    "`sekisho log retire --undo`"
  );
}

/**
 * From which moment on a restored log covers everything, if some revocations may be in neither the
 * database nor the log: tokens from before must be answered as stale. Lost cut-offs may reach a
 * little into the future.
 */
export function coversOnlyFromMs(nowMs: number): number {
  return nowMs + CUT_OFF_MARGIN_S * 1000;
}

/**
 * What a restore has to own up to because of the log that it replaces; 0: nothing. The database
 * knows everything that was in a log of its own, and the rest was imported. From another's log only
 * what that log still holds can be imported.
 */
export function inheritedCoversFromMs(
  facts: KeeperFacts,
  record: LogRecord | undefined,
  nowMs: number,
): number {
  const { meta, serverRunId: runId, serverReplId: replId } = facts;
  const unknownBeforeMs = coversOnlyFromMs(nowMs);
  if (typeof meta === "string") {
    // What cannot be read any more was the database's own, unless that has never had a log.
    return meta === "missing" || record !== undefined ? 0 : unknownBeforeMs;
  }
  const ownedUpToMs = Math.min(meta.coversFromMs, unknownBeforeMs);
  if (isOwnLog(meta, record)) return ownedUpToMs;
  if (meta.authority === "database" && !sameServer(meta, { runId, replId })) return unknownBeforeMs;
  return ownedUpToMs;
}

/** Whether the log was made from this database. */
function isOwnLog(meta: LogMeta, record: LogRecord | undefined): boolean {
  return meta.authority === "database" && meta.generation === record?.generation;
}

/**
 * After which entry a restore has to search the old log for what is not from here. undefined: from
 * the first on, because the record does not speak of this log, or of more than is left of it.
 */
export function searchedUpTo(
  facts: KeeperFacts,
  record: LogRecord | undefined,
): string | undefined {
  const { meta } = facts;
  if (typeof meta === "string" || record === undefined) return undefined;
  return isOwnLog(meta, record) && meta.seq >= record.seq ? record.importedEntryId : undefined;
}

const MAX_SEQUENCE = "18446744073709551615";

/**
 * The entry ID just before `id`, so that a read from there on begins with `id` itself: an entry that
 * was there and is not any more tells that the stream has lost something.
 */
export function justBefore(id: string): string | undefined {
  const match = /^([0-9]{1,16})-([0-9]{1,20})$/.exec(id);
  const [ms, n] = [match?.[1], match?.[2]];
  if (ms === undefined || n === undefined) return undefined;
  if (BigInt(n) > 0n) return `${ms}-${BigInt(n) - 1n}`;
  return BigInt(ms) > 0n ? `${BigInt(ms) - 1n}-${MAX_SEQUENCE}` : undefined;
}

function restore(cause: RestoreCause): LogJudgement {
  return { kind: "restore", cause };
}
