/**
 * What a follower concludes from what it read: pure functions, no I/O. They find every way in which a
 * log can have lost an entry.
 */
import type { LogEntry, RawEntry } from "../../revocation-log/entry.js";
import { decodeEntry } from "../../revocation-log/entry-decoding.js";
import { keptAge, unkeptMessage, type LogProblem } from "./log-examination.js";
import type { LogRequirements } from "./log-examination.js";
import type { LogMeta, LogRead } from "../../revocation-log/revocation-log.js";

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

/** The log is out of order: what this node had read proves nothing any more. */
export class OutOfStep extends Error {
  readonly resyncCause: ResyncCause;

  constructor(resyncCause: ResyncCause, why: string) {
    super(why);
    this.name = "OutOfStep";
    this.resyncCause = resyncCause;
  }
}

export interface Advance {
  /** Every entry that was read; all may be applied, in order or not. */
  readonly entries: readonly LogEntry[];
  /** The last seq up to which nothing is missing. */
  readonly seq: number;
  /** Where something is missing; undefined: nothing is. */
  readonly gap: string | undefined;
}

/**
 * Walks through entries that were delivered after `seq`. One at or below it is a duplicate (a
 * repeated delivery), not a step backwards.
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
    // Without a seq the entry names no tenant, so all are uncertain; it is no step in the order.
    if (entry.seq === undefined) continue;
    if (entry.seq > reached + 1) gap ??= `entry ${entry.seq} follows entry ${reached}`;
    if (gap === undefined) reached = Math.max(reached, entry.seq);
  }
  return { entries, seq: reached, gap };
}

/**
 * The same for a page of the log itself, in which nothing may occur twice. `seq` is undefined for
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
    return { ...advanced, gap: `entries occur twice after entry ${start}` };
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
  /** Everything published before the read was sent has been applied, if a quorum confirms it. */
  | { readonly kind: "fresh"; readonly meta: LogMeta; readonly quorum: number }
  /** In order, but there may be more. What was applied may still prove an earlier moment. */
  | { readonly kind: "more"; readonly meta: LogMeta; readonly quorum: number }
  /** In order, but it may not be the log that publishers write to. */
  | { readonly kind: "unproven"; readonly problem: LogProblem }
  | { readonly kind: "resync"; readonly cause: ResyncCause; readonly why: string };

const resync = (cause: ResyncCause, why: string): ReadVerdict => ({ kind: "resync", cause, why });
const unproven = (code: LogProblem["code"], message: string): ReadVerdict => ({
  kind: "unproven",
  problem: { code, message },
});

/**
 * What a read proves. `seqBefore` and `seqAfter`: up to where this node had applied the log before
 * and after the entries of this read; `full`: the read may have been cut off by its COUNT.
 */
export function judgeRead(
  read: LogRead,
  joined: LogMeta,
  reached: { readonly seqBefore: number; readonly seqAfter: number; readonly full: boolean },
  required: Pick<LogRequirements, "minReplicas" | "unkeptMaxMs">,
): ReadVerdict {
  const { meta } = read;
  if (typeof meta === "string") {
    return resync("log_changed", `the log's meta is ${meta}`);
  }
  if (meta.generation !== joined.generation) {
    return resync("generation_changed", "the log was replaced by a new one");
  }
  if (meta.runId !== joined.runId || meta.authority !== joined.authority || meta.restoring) {
    return resync("log_changed", "the log is being restored");
  }
  if (meta.horizonS !== joined.horizonS || meta.partitions !== joined.partitions) {
    return resync("log_changed", "the log's horizon or partitions changed");
  }
  if (meta.retiredAtMs !== undefined) return resync("log_changed", "the log was retired");
  if (hasAnotherReplId(meta, read)) {
    return resync("server_changed", "Redis was promoted, or its replication was set up anew");
  }
  if (meta.seq < reached.seqBefore) {
    const fall = `from ${reached.seqBefore} to ${meta.seq}`;
    return resync("fall", `the log's sequence went backwards, ${fall}`);
  }
  if (!reached.full && reached.seqAfter < meta.seq) {
    return resync("gap", `entry ${meta.seq} was published but not delivered`);
  }
  const verdict = judgeServer(read, meta, required);
  return verdict.kind === "fresh" && reached.full ? { ...verdict, kind: "more" } : verdict;
}

/** The session service of the first version records no replication ID: see `sameServer`. */
function hasAnotherReplId({ authority, replId }: LogMeta, { replication }: LogRead): boolean {
  return authority === "database" && replId !== undefined && replId !== replication.replId;
}

/** Whether the server that answered must be the one that publishers write to. */
function judgeServer(
  read: LogRead,
  meta: LogMeta,
  { minReplicas, unkeptMaxMs }: Pick<LogRequirements, "minReplicas" | "unkeptMaxMs">,
): ReadVerdict {
  const keptAgeMs = keptAge(meta, read.serverMs);
  if (unkeptMaxMs !== undefined && keptAgeMs !== undefined && keptAgeMs > unkeptMaxMs) {
    return unproven("log_unkept", unkeptMessage(keptAgeMs));
  }
  const quorum = Math.max(minReplicas, meta.minReplicas);
  if (quorum === 0) return { kind: "fresh", meta, quorum };
  // A promoted replica and the `min_replicas` that confirmed its publication no longer follow this
  // server. Only if fewer than `quorum` replicas remain beside them does a quorum here say that
  // there is no such publication.
  const { replicas } = read.replication;
  if (replicas === undefined || replicas > meta.minReplicas + quorum) {
    return unproven(
      "too_many_replicas",
      `Redis has ${replicas ?? "an unknown number of"} replicas; with min_replicas ` +
        `${meta.minReplicas} in the log and ${quorum} here there may be at most ` +
        `${meta.minReplicas + quorum}: raise SEKISHO_REDIS_MIN_REPLICAS before a replica is added`,
    );
  }
  return { kind: "fresh", meta, quorum };
}

/** The share of a staleness limit for round trips to Redis, besides two waits each. */
const ROUND_TRIPS_MS = 100;
const QUORUM_WAIT_MAX_MS = 1000;

/**
 * How long a quorum is waited for: two reads, which wait for up to `readWaitMs`, and their quorums must
 * fit into the staleness limit, or a single slow replica would make the node stale.
 */
export function quorumWaitMs(maxStalenessMs: number, readWaitMs: number): number {
  const spareMs = (maxStalenessMs - ROUND_TRIPS_MS) / 2 - readWaitMs;
  return Math.max(1, Math.min(QUORUM_WAIT_MAX_MS, Math.floor(spareMs)));
}

/** The problem of a read that no quorum confirmed. */
export function tooFewReplicas(confirmed: number, quorum: number): LogProblem {
  const message =
    `${confirmed} of ${quorum} replicas confirmed the last read (SEKISHO_REDIS_MIN_REPLICAS, or ` +
    "min_replicas of the log): is this master cut off, was another one promoted, or is a replica away?";
  return { code: "too_few_replicas", message };
}
