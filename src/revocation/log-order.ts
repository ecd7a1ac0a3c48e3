/**
 * What a follower concludes from what it read: pure functions, no I/O. Every way in which a log can
 * have lost an entry is found here.
 */
import type { Moment } from "../clock/clock.js";
import { clockOffsetMs, describeClockOffset, type HeardClock } from "../clock/clock-offset.js";
import { decodeEntry, type LogEntry, type RawEntry } from "./entry.js";
import type { LogFacts, LogMeta, LogRead, MetaReply } from "./revocation-log.js";

/** Why a node must begin again with the whole log. The label of `sekisho_log_resyncs_total`. */
export type ResyncCause =
  | "start"
  | "gap"
  | "fall"
  | "generation_changed"
  | "server_changed"
  | "clock_jumped"
  | "log_changed"
  | "unexpected_reply";

/** What keeps a node from being in sync with the log, in words for the person who must mend it. */
export interface LogProblem {
  readonly code:
    | "unreachable"
    | "not_a_master"
    | "clock_difference"
    | "log_missing"
    | "log_unreadable"
    | "log_restoring"
    | "log_incomplete"
    | "log_fell"
    | "horizon_too_short"
    | "partitions_differ"
    | "out_of_step";
  readonly message: string;
}

/** What this node demands of a log. */
export interface LogRequirements {
  readonly skewMs: number;
  readonly horizonS: number;
  readonly partitions: number;
}

/** Where a node stands: the last entry applied, and in which generation of the log. */
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

/** Step 1: whether this server's log can be followed at all. */
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
  if (!clocksAgree(facts, required.skewMs)) {
    const { skewMs } = required;
    const difference = describeClockOffset("Redis", clockOffsetMs(facts), skewMs);
    return unfit("clock_difference", difference);
  }
  return examineMeta(facts.meta, facts.serverRunId, required, applied);
}

function examineMeta(
  meta: MetaReply,
  serverRunId: string,
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
  if (meta.authority === "database" && meta.runId !== serverRunId) {
    return unfit(
      "log_incomplete",
      "Redis was restarted and its log may have lost entries: waiting for the session service to restore it",
    );
  }
  if (meta.partitions !== required.partitions) {
    return unfit(
      "partitions_differ",
      `the log has ${meta.partitions} partitions, this node is set to ${required.partitions}`,
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
      `the log fell from entry ${applied.seq} to ${meta.seq}: Redis came back with older data and ` +
        "revocations are lost. Publish them again, or run `sekisho log init --replace`: tokens issued " +
        "before that are then refused as stale until they expire",
    );
  }
  return { fit: true, meta };
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

export interface Advance {
  /** Every entry that was there; all may be applied, in order or not. */
  readonly entries: readonly LogEntry[];
  /** The last seq up to which nothing is missing. */
  readonly seq: number;
  /** Where something is missing; undefined: nothing is. */
  readonly gap: string | undefined;
}

/**
 * Walks through entries that were delivered after `seq`. One at or below it is a duplicate (a
 * delivery that was repeated), not a fall.
 */
export function advance(seq: number, raw: readonly RawEntry[]): Advance {
  const entries: LogEntry[] = [];
  let reached = seq;
  let gap: string | undefined;
  for (const one of raw) {
    if (one.fields === undefined) {
      gap ??= `entry ${one.id} was deleted before it was read`;
      continue;
    }
    const entry = decodeEntry(one);
    entries.push(entry);
    // Without a seq it is nobody's entry: doubted by everyone, but no step in the order.
    if (entry.seq === undefined) continue;
    if (entry.seq > reached + 1) gap ??= `entry ${entry.seq} follows entry ${reached}`;
    if (gap === undefined) reached = Math.max(reached, entry.seq);
  }
  return { entries, seq: reached, gap };
}

/**
 * The same for a page of the log itself, in which nothing may stand twice. `seq` is undefined for
 * the first page: it may begin anywhere up to `firstSeq`, the oldest entry known to be left.
 */
export function advancePage(
  seq: number | undefined,
  firstSeq: number,
  raw: readonly RawEntry[],
): Advance {
  const start = seq ?? Math.min(firstSeqOf(raw) ?? firstSeq, firstSeq) - 1;
  const advanced = advance(start, raw);
  const steps = advanced.entries.filter((entry) => entry.seq !== undefined).length;
  if (advanced.gap === undefined && advanced.seq !== start + steps) {
    return { ...advanced, gap: `entries stand twice after entry ${start}` };
  }
  return advanced;
}

function firstSeqOf(raw: readonly RawEntry[]): number | undefined {
  for (const one of raw) {
    const { seq } = decodeEntry(one);
    if (seq !== undefined) return seq;
  }
  return undefined;
}

export type ReadVerdict =
  /** Everything published before the read was sent has been applied. */
  | { readonly kind: "fresh"; readonly meta: LogMeta }
  /** In order, but there may be more. */
  | { readonly kind: "more" }
  | { readonly kind: "resync"; readonly cause: ResyncCause; readonly why: string };

const resync = (cause: ResyncCause, why: string): ReadVerdict => ({ kind: "resync", cause, why });

/**
 * What a read proves. `seqBefore` and `seqAfter`: up to where this node had applied the log before
 * and after the entries of this read; `full`: the read may have been cut off by its COUNT.
 */
export function judgeRead(
  read: LogRead,
  joined: LogMeta,
  reached: { readonly seqBefore: number; readonly seqAfter: number; readonly full: boolean },
): ReadVerdict {
  const { meta } = read;
  if (typeof meta === "string") {
    return resync("log_changed", `the log's meta is ${meta}`);
  }
  if (meta.generation !== joined.generation) {
    return resync("generation_changed", "the log was opened anew");
  }
  if (meta.runId !== joined.runId || meta.authority !== joined.authority || meta.restoring) {
    return resync("log_changed", "the log is being restored");
  }
  if (meta.horizonS !== joined.horizonS || meta.partitions !== joined.partitions) {
    return resync("log_changed", "the log's horizon or partitions changed");
  }
  if (meta.seq < reached.seqBefore) {
    return resync("fall", `the log fell from entry ${reached.seqBefore} to ${meta.seq}`);
  }
  if (reached.full) return { kind: "more" };
  if (reached.seqAfter < meta.seq) {
    return resync("gap", `entry ${meta.seq} was published but not delivered`);
  }
  return { kind: "fresh", meta };
}
