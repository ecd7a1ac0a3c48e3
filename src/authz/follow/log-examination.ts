/**
 * Whether a log can be followed at all, by its server and its `meta`: pure functions, no I/O. Each
 * refusal is a problem in words for the operator who has to solve it.
 */
import type { Moment } from "../../runtime/clock.js";
import { clockOffsetMs, describeClockOffset, type HeardClock } from "../../runtime/clock-offset.js";
import { isIdentified, sameServer, unidentifiedServer } from "../../revocation-log/log-server.js";
import { PARTITIONS } from "../../revocation-log/partition.js";
import type {
  LogFacts,
  LogMeta,
  LogServer,
  MetaReply,
} from "../../revocation-log/revocation-log.js";

/** What keeps a node from being in sync with the log. */
export interface LogProblem {
  readonly code:
    | "unreachable"
    | "not_a_master"
    | "server_unidentified"
    | "clock_difference"
    | "log_missing"
    | "log_retired"
    | "log_unreadable"
    | "log_restoring"
    | "log_incomplete"
    | "log_fell"
    | "horizon_too_short"
    | "partitions_differ"
    | "too_few_replicas"
    | "too_many_replicas"
    | "log_unkept"
    | "out_of_step";
  readonly message: string;
}

/** What this node requires of a log. */
export interface LogRequirements {
  readonly skewMs: number;
  readonly horizonS: number;
  /** The least number of replicas that confirm each proof; the log may require more. */
  readonly minReplicas: number;
  /** How long a log counts after its relay's last stamp; undefined: for ever. */
  readonly unkeptMaxMs: number | undefined;
}

/** The last entry that a node has applied, and of which generation of the log. */
export interface AppliedUpTo {
  readonly generation: string;
  readonly seq: number;
}

export type Examined =
  | { readonly fit: true; readonly meta: LogMeta }
  | { readonly fit: false; readonly problem: LogProblem };

const unfit = (code: LogProblem["code"], message: string): Examined => ({
  fit: false,
  problem: { code, message },
});

/** Whether this server's log can be followed at all. */
export function examineFacts(
  facts: LogFacts,
  required: LogRequirements,
  applied: AppliedUpTo | undefined,
): Examined {
  if (facts.role !== "master") {
    return unfit(
      "not_a_master",
      `this Redis is a ${facts.role}: point SEKISHO_REDIS_URL at the master`,
    );
  }
  if (!isIdentified(facts.server)) {
    return unfit("server_unidentified", unidentifiedServer(facts.server));
  }
  if (!clocksAgree(facts, required.skewMs)) {
    const { skewMs } = required;
    const difference = describeClockOffset("Redis", clockOffsetMs(facts), skewMs);
    return unfit("clock_difference", `${difference}, or raise SEKISHO_CLOCK_SKEW_S everywhere`);
  }
  return examineMeta(facts.meta, facts.server, required, applied);
}

function examineMeta(
  meta: MetaReply,
  server: LogServer,
  required: LogRequirements,
  applied: AppliedUpTo | undefined,
): Examined {
  if (meta === "missing") return unfit("log_missing", missingLogMessage(applied !== undefined));
  if (meta === "unreadable") {
    return unfit(
      "log_unreadable",
      "the log's `meta` is not understood: was it written by a newer version?",
    );
  }
  if (meta === "restoring" || meta.restoring) {
    return unfit("log_restoring", "the session service is restoring the log");
  }
  if (meta.retiredAtMs !== undefined) {
    return unfit(
      "log_retired",
      `this log was retired at ${new Date(meta.retiredAtMs).toISOString()}: point SEKISHO_REDIS_URL ` +
        "at the Redis that took its place",
    );
  }
  if (meta.authority === "database" && !sameServer(meta, server)) {
    return unfit(
      "log_incomplete",
      "Redis was restarted or promoted and its log may have lost entries: waiting for the session " +
        "service to restore it",
    );
  }
  if (meta.partitions !== PARTITIONS) {
    return unfit(
      "partitions_differ",
      `the log has ${meta.partitions} partitions, this node is set to ${PARTITIONS}`,
    );
  }
  if (meta.horizonS < required.horizonS) {
    return unfit(
      "horizon_too_short",
      `the log remembers ${meta.horizonS} s, this node needs ${required.horizonS} s: lower ` +
        "SEKISHO_MAX_TOKEN_LIFETIME_S or SEKISHO_CLOCK_SKEW_S here, or run `sekisho log init` with " +
        "the same settings as here to raise the log's horizon",
    );
  }
  if (applied?.generation === meta.generation && meta.seq < applied.seq) {
    return unfit(
      "log_fell",
      `the log's sequence went backwards, from ${applied.seq} to ${meta.seq}: Redis came back with older data and ` +
        "revocations are lost. Publish them again, or run `sekisho log init --replace`: tokens issued " +
        "before that are then refused as stale until they expire",
    );
  }
  return { fit: true, meta };
}

/** Whether the log that was found as `before` may have been restored since. */
export function isRestored(now: MetaReply, before: MetaReply): boolean {
  if (typeof now === "string" || now.restoring) return false;
  return typeof before === "string" || before.restoring || now.generation !== before.generation;
}

function missingLogMessage(hadOne: boolean): string {
  if (!hadOne) {
    return (
      "there is no revocation log in this Redis: run `sekisho log init` " +
      "(`--nothing-was-revoked` for a new deployment)"
    );
  }
  return (
    "the revocation log is gone from Redis, and with it what was revoked: restore Redis's data, or " +
    "run `sekisho log init`: tokens issued before that are then refused as stale until they expire"
  );
}

/** Whether the server's clock, read between sending and receiving, is within skew of ours. */
export function clocksAgree(heard: HeardClock, skewMs: number): boolean {
  return Math.abs(clockOffsetMs(heard)) <= skewMs;
}

/** Whether the wall clock was set by more than the skew between two moments. */
export function wallClockJumped(before: Moment, after: Moment, skewMs: number): boolean {
  const wall = after.wallMs - before.wallMs;
  const monotonic = after.monotonicMs - before.monotonicMs;
  return Math.abs(wall - monotonic) > skewMs;
}

/**
 * Milliseconds since the relay last stamped the log, by the server's clock; Infinity: never;
 * undefined: no relay has to, because Redis itself is the authority.
 */
export function keptAge(
  meta: Pick<LogMeta, "authority" | "keptAtMs">,
  serverMs: number,
): number | undefined {
  if (meta.authority === "redis") return undefined;
  return meta.keptAtMs === undefined ? Infinity : Math.max(0, serverMs - meta.keptAtMs);
}

export function unkeptMessage(keptAgeMs: number): string {
  const since =
    keptAgeMs === Infinity
      ? "no session service has ever kept this log"
      : `no session service has kept this log for ${Math.round(keptAgeMs / 1000)} s`;
  return (
    `${since}: the service is away, or it uses another Redis by now and this node's ` +
    "SEKISHO_REDIS_URL is out of date"
  );
}
