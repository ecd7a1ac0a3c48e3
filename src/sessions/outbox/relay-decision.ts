/**
 * What the relay concludes from the facts of the log: pure functions, no I/O.
 *
 * The database is the truth, and `log_records` says what the log must contain at least. A log that
 * falls short of it has lost something, or may have, and is restored. More than the record is
 * normal: an instance stopped between publishing and recording.
 */
import { describeClockOffset } from "../../runtime/clock-offset.js";
import { CUT_OFF_MARGIN_S } from "../../revocation-log/horizon.js";
import type { LogAdminFacts } from "../../revocation-log/log-admin.js";
import { isProvenServer } from "../../revocation-log/log-server.js";
import { PARTITIONS } from "../../revocation-log/partition.js";
import type { LogMeta } from "../../revocation-log/revocation-log.js";

/** A row of `log_records`: what the database records of the log. */
export interface LogRecord {
  /** undefined: no restore has got this far yet. */
  readonly generation: string | undefined;
  /** The generation of a restore that has begun and not recorded it yet. */
  readonly restoringGeneration: string | undefined;
  /** The log of this generation has reached this seq. */
  readonly seq: number;
  /** The entry up to which the log of this generation was searched for entries from elsewhere. */
  readonly importedEntryId: string | undefined;
  /** The database's timeline at the last search. */
  readonly searchedTimeline: string;
  /** The current timeline. Different after a failover: the database may have lost revocations. */
  readonly timeline: string;
  /**
   * Everything published before this time is imported; Unix milliseconds, by the database's clock.
   */
  readonly searchedAtMs: number;
  /** When this was read, by the same clock, or slightly earlier. */
  readonly readAtMs: number;
  /** Revocations from before this time may be lost to both database and log; Unix milliseconds. */
  readonly coversFromMs: number | undefined;
  readonly restoreRequestedAtMs: number | undefined;
  /** undefined: the restore that made this generation is not in the audit trail yet. */
  readonly restoredAtMs: number | undefined;
}

export interface LogRequirements {
  readonly horizonS: number;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /** The largest difference allowed between this machine's clock and the server's. */
  readonly clockDifferenceMaxMs: number;
}

/** Why a log is restored: a metric's label and a reason in the audit trail. */
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

/** What keeps the relay from its work; the message says what to do. */
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

/** `record`: undefined if the database has never had a log. */
export function judgeLog(
  facts: LogAdminFacts,
  record: LogRecord | undefined,
  requirements: LogRequirements,
  nowMs: number,
): LogJudgement {
  const problem = whyUnusable(facts, requirements, nowMs);
  if (problem !== undefined) return { kind: "wait", problem };
  const { serverRunId, serverReplId, meta } = facts;
  if (meta === "missing") return restore("log_missing");
  if (meta === "unreadable") return restore("log_unreadable");
  // The instance that set the marker has lost the lock, since this relay holds it.
  if (meta === "restoring" || meta.restoring) return restore("restore_abandoned");
  if (meta.authority === "redis") return restore("authority_taken_over");
  const server = { runId: serverRunId, replId: serverReplId };
  if (!isProvenServer(meta, server)) return restore("server_changed");
  if (meta.generation !== record?.generation) return restore("generation_differs");
  // Perhaps in another Redis: nothing can be acknowledged until a restore has finished.
  if (record.restoringGeneration !== undefined) return restore("restore_abandoned");
  if (meta.seq < record.seq) return restore("log_fell");
  if (meta.partitions !== PARTITIONS) return restore("partitions_differ");
  if (meta.horizonS < requirements.horizonS) return restore("horizon_too_short");
  if (record.restoreRequestedAtMs !== undefined) return restore("requested");
  return { kind: "sound", meta };
}

/** Why the log in this server can be neither kept nor restored now; undefined: it can. */
function whyUnusable(
  { role, serverMs, meta }: LogAdminFacts,
  requirements: LogRequirements,
  nowMs: number,
): RelayProblem | undefined {
  if (role !== "master") {
    const message = `this Redis is a ${role}: point SEKISHO_REDIS_URL at the master, or wait for the failover`;
    return { code: "not_a_master", message };
  }
  const { clockDifferenceMaxMs } = requirements;
  const offsetMs = serverMs - nowMs;
  if (Math.abs(offsetMs) > clockDifferenceMaxMs) {
    const message = describeClockOffset("Redis", offsetMs, clockDifferenceMaxMs);
    return { code: "clock_difference", message };
  }
  const retired = retirementOf(meta);
  return retired === undefined ? undefined : { code: "log_retired", message: retired };
}

/** Causes that a relay elsewhere does not repair, because it only looks at its own Redis. */
const OTHER_LOG: ReadonlySet<RestoreCause> = new Set([
  "log_missing",
  "log_unreadable",
  "authority_taken_over",
  "generation_differs",
]);

/**
 * What is wrong with the log in this instance's Redis while another instance relays; undefined:
 * nothing, or a restore is running.
 */
export function judgeFromAside(
  facts: LogAdminFacts,
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
      "the log in this Redis is not the one that the database uses, so this instance leaves " +
      "publishing to the relay: do all instances of the session service have the same " +
      "SEKISHO_REDIS_URL, and does it lead to one Redis?",
  };
}

function retirementOf(meta: LogAdminFacts["meta"]): string | undefined {
  if (typeof meta === "string" || meta.retiredAtMs === undefined) return undefined;
  return (
    `the log in this Redis was retired at ${new Date(meta.retiredAtMs).toISOString()}: point ` +
    "SEKISHO_REDIS_URL at the Redis that replaces it, or open this one again with " +
    "`sekisho log retire --undo`"
  );
}

/**
 * From when on a restored log covers everything, if some revocations may be in neither the database
 * nor the log: older tokens must be answered as stale. Lost cut-offs may be slightly in the future.
 */
export function coversOnlyFromMs(nowMs: number): number {
  return nowMs + CUT_OFF_MARGIN_S * 1000;
}

/**
 * The gap that a restore must declare because of the log that it replaces; 0: none. The database
 * knows everything in its own log, and the rest was imported. From another database's log, only
 * what that log still contains can be imported.
 */
export function inheritedCoversFromMs(
  facts: LogAdminFacts,
  record: LogRecord | undefined,
  nowMs: number,
): number {
  const { meta, serverRunId: runId, serverReplId: replId } = facts;
  const unknownBeforeMs = coversOnlyFromMs(nowMs);
  if (typeof meta === "string") {
    // An unreadable log was the database's own, unless that has never had one.
    return meta === "missing" || record !== undefined ? 0 : unknownBeforeMs;
  }
  const declaredMs = Math.min(meta.coversFromMs, unknownBeforeMs);
  if (isOwnLog(meta, record)) return declaredMs;
  if (meta.authority === "database" && !isProvenServer(meta, { runId, replId }))
    return unknownBeforeMs;
  return declaredMs;
}

/** Whether the log was made from this database. */
function isOwnLog(meta: LogMeta, record: LogRecord | undefined): boolean {
  return meta.authority === "database" && meta.generation === record?.generation;
}

/**
 * The entry after which a restore has to search the old log for entries from elsewhere. undefined:
 * from the first on, because the record is about another log, or about more than is left of it.
 */
export function searchedUpTo(
  facts: LogAdminFacts,
  record: LogRecord | undefined,
): string | undefined {
  const { meta } = facts;
  if (typeof meta === "string" || record === undefined) return undefined;
  return isOwnLog(meta, record) && meta.seq >= record.seq ? record.importedEntryId : undefined;
}

const MAX_SEQUENCE = "18446744073709551615";

/**
 * The entry ID just before `id`, so that a read after it begins with `id` itself: if that entry is
 * missing, the stream has lost something.
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
