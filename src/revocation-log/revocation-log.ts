/**
 * The port through which a node reads the revocation log.
 *
 * Guarantees of every adapter:
 *
 * - A connection is one conversation with one server process. It is never reconnected: after any
 *   `RevocationLogError` the caller closes it and opens another.
 * - Every call settles within a bound. A reply that does not come in time is an error, never an
 *   empty answer, so silence cannot pass for freshness.
 * - `read` asks for the facts first and for the entries after them, in this order on the server.
 * - `acknowledge` counts the replicas that have everything written on this connection.
 * - Entries come in the order of the log; those of `read` stay pending until acknowledged.
 */
import type { Moment } from "../runtime/clock.js";
import type { RawEntry } from "./entry.js";
import type { OnStale } from "./on-stale.js";

export type Authority = "database" | "redis";

/** The facts about a log, `meta` in Redis. */
export interface LogMeta {
  /** Random; a new one starts `seq` anew. */
  readonly generation: string;
  /** Of the last entry. */
  readonly seq: number;
  /** Of the oldest entry left. */
  readonly firstSeq: number;
  /** The server process for which the log is known to be complete. */
  readonly runId: string;
  /** That process's replication ID (`master_replid`); undefined: written by an older version. */
  readonly replId: string | undefined;
  readonly authority: Authority;
  readonly horizonS: number;
  readonly partitions: number;
  /** Unix milliseconds; the log holds every revocation since then. */
  readonly coversFromMs: number;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /**
   * When the relay of the log's database last stamped it, by the server's clock, Unix milliseconds;
   * undefined: never.
   */
  readonly keptAtMs: number | undefined;
  /** When an operator retired the log; undefined: it is in use. Unix milliseconds. */
  readonly retiredAtMs: number | undefined;
  /** Of the entries that are written now; nodes read every entry in its own. */
  readonly format: number;
  readonly restoring: boolean;
}

/**
 * - `missing`: there is no log.
 * - `restoring`: a restore is in progress, or was abandoned, that has deleted the facts already.
 * - `unreadable`: `meta` exists but is not understood.
 */
export type MetaReply = LogMeta | "missing" | "restoring" | "unreadable";

/**
 * A server's identity. A restart changes the run ID; a promotion changes the replication ID, and so
 * do the first replica that attaches and a backlog that expires. undefined: not reported.
 */
export interface LogServer {
  readonly runId: string | undefined;
  readonly replId: string | undefined;
  /** How many replicas are connected to it. */
  readonly replicas: number | undefined;
  /** Its address and version, for messages. */
  readonly description: string;
}

/**
 * What a restored log took over from the log that it replaced, without any loss: exactly the entries of
 * `generation` up to `seq` and what those had been restored from are up to the tail, everything else is
 * behind it.
 */
export interface PreviousLog {
  readonly generation: string;
  readonly seq: number;
  /** Of the last entry before the tail, in the new log. */
  readonly tailId: string;
  readonly tailSeq: number;
}

/** The server's report of itself and of the log. */
export interface LogFacts {
  readonly role: string;
  readonly server: LogServer;
  readonly meta: MetaReply;
  /** undefined: the log was not restored, or something may have been lost. */
  readonly previous?: PreviousLog | undefined;
  /** The server's wall clock, Unix milliseconds, read between `sentAt` and `receivedAt`. */
  readonly serverMs: number;
  readonly sentAt: Moment;
  readonly receivedAt: Moment;
}

export interface LogRead {
  /** Read on the server before the entries were, like `replication`. */
  readonly meta: MetaReply;
  readonly replication: Pick<LogServer, "replId" | "replicas">;
  readonly entries: readonly RawEntry[];
  readonly serverMs: number;
  readonly sentAt: Moment;
  readonly receivedAt: Moment;
}

/** A node's report of itself, for receipts. */
export interface NodeRow {
  /** The server's clock when this node last heard from it, Unix milliseconds. */
  readonly seenMs: number;
  readonly generation: string;
  /** The last entry that this node has applied. */
  readonly seq: number;
  readonly maxStalenessMs: number;
  readonly onStale: OnStale;
  /**
   * As found in Redis: what it reads, by the formats and the kinds of entries. The first version says
   * nothing: see `readByNode`.
   */
  readonly formats?: readonly number[] | undefined;
  readonly kinds?: readonly string[] | undefined;
  /** As found in Redis: of its package; the first version says nothing. */
  readonly version?: string | undefined;
}

/** Rows and groups not seen for this long belong to dead nodes. */
export const SILENT_AFTER_MS = 300_000;

const REPORT_INTERVAL_MAX_MS = 1000;

/** How often a node writes its row when there is nothing to acknowledge: twice within its limit. */
export function reportIntervalMs(maxStalenessMs: number): number {
  return Math.min(REPORT_INTERVAL_MAX_MS, maxStalenessMs / 2);
}

export interface Quorum {
  /** At least 1. */
  readonly replicas: number;
  /** At least 1. */
  readonly waitMs: number;
}

export interface LogConnection {
  facts(): Promise<LogFacts>;
  /** A tenth of the price of `facts`, for nodes that wait together until a log is restored. */
  meta(): Promise<MetaReply>;
  /** Up to `count` entries after the ID `afterId`; from the first on if it is undefined. */
  page(afterId: string | undefined, count: number): Promise<readonly RawEntry[]>;
  /**
   * Creates `group` so that it delivers everything after `afterId`, together with its row, and
   * removes those that it made `earlier` with their rows. Never creates the log.
   */
  join(group: string, afterId: string, row: NodeRow, earlier: readonly string[]): Promise<void>;
  /** New entries, at most `count`; waits for the first one for up to `waitMs` (0: not at all). */
  read(group: string, count: number, waitMs: number): Promise<LogRead>;
  /** Entries that were delivered to `group` and never acknowledged, oldest first. */
  readPending(group: string, count: number): Promise<readonly RawEntry[]>;
  /**
   * Acknowledges entries (may be none) and writes the node's row. With a `quorum`, waits up to
   * `waitMs` for that many replicas to have both; returns how many have (0 without a quorum).
   */
  acknowledge(
    group: string,
    ids: readonly string[],
    row: NodeRow,
    quorum: Quorum | undefined,
  ): Promise<number>;
  /** Removes the groups and their rows. */
  leave(groups: readonly string[]): Promise<void>;
  /** Removes groups and rows of nodes that were last seen before `seenBeforeMs` (server's clock). */
  removeSilent(seenBeforeMs: number): Promise<number>;
  close(): void;
}

export interface RevocationLog {
  /** Opens a connection of its own, or throws a `RevocationLogError`. */
  connect(): Promise<LogConnection>;
}

/**
 * - `unavailable`: no answer, or the server cannot serve now (LOADING, NOREPLICAS, …). What was read
 *   before stays valid; try again.
 * - `unexpected`: an answer that no intact log gives (group or stream gone, …). Nothing can be
 *   concluded; read the whole log again.
 */
export type RevocationLogErrorCode = "unavailable" | "unexpected";

export class RevocationLogError extends Error {
  readonly code: RevocationLogErrorCode;

  constructor(code: RevocationLogErrorCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = "RevocationLogError";
    this.code = code;
  }
}
