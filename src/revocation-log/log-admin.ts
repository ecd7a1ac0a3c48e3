/**
 * The port through which the session service's relay maintains the revocation log.
 *
 * A restore rebuilds the log from the database:
 *
 *   beginRestore ──► (import what is in the log) ──► clear ──► append … ──► finish
 *
 * - From beginRestore until finish, publishing is refused and every node is stale: a half-restored
 *   log is never read. Nodes go on refusing what they know.
 * - Each step is atomic and checks that the marker is still the one of `beginRestore` and that the
 *   server is still the same process. The last to begin wins: the next step of any other is refused.
 * - A retired log is not restored.
 * - A restore that is abandoned at any step, or in which a step rejected (that step may or may not
 *   have been done), leaves the marker. It cannot be continued: begin again.
 *
 * Every call is bounded in time and rejects with a RevocationLogError, after which the next call
 * opens a new connection.
 */
import type { EntryContent } from "./entry-fields.js";
import type { NodeRows } from "./receipt.js";
import type { RecordedEntry } from "./recorded-entry.js";
import type { MetaReply, PreviousLog } from "./revocation-log.js";

export const APPEND_MAX_ENTRIES = 500;
export const READ_BACK_MAX_ENTRIES = 500;

/** The server's own report of itself and of the log, at one moment. */
export interface LogAdminFacts {
  /** `master`, or the log cannot be written to. */
  readonly role: string;
  readonly serverRunId: string;
  /** Its replication ID (`master_replid`). */
  readonly serverReplId: string | undefined;
  /** The server's wall clock, Unix milliseconds. */
  readonly serverMs: number;
  readonly meta: MetaReply;
}

export interface RestoredEntry extends EntryContent {
  /** When it was decided, Unix milliseconds. */
  readonly atMs: number;
}

/** The facts of a restored log; its authority is the database. */
export interface RestoredLog {
  /** Random; must never have been used before. */
  readonly generation: string;
  readonly horizonS: number;
  /** Unix milliseconds; the log holds every revocation since then. */
  readonly coversFromMs: number;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /** Left out: nodes have to read the whole log. */
  readonly previous?: PreviousLog | undefined;
}

/**
 * - `marker_lost`: another process has begun a restore, or opened or deleted the log.
 * - `server_changed`: this is another server process than the one in which the restore began.
 * - `entries_lost`: what was appended is not in the log any more.
 * - `log_retired`: an operator has closed the log.
 */
export type RestoreRefusal = "marker_lost" | "server_changed" | "entries_lost" | "log_retired";

export type RestoreStep =
  /** Of the last entry in the log; seq is dense from 1, the entry that opens the log. */
  | { readonly done: true; readonly seq: number; readonly id: string }
  | { readonly done: false; readonly code: RestoreRefusal };

export type BegunRestore =
  { readonly done: true } | { readonly done: false; readonly code: RestoreRefusal };

/** Which entries may be trimmed from the log of a database. */
export interface TrimRequest {
  /** A log of another generation is left alone, and so is one that is being restored. */
  readonly generation: string;
  /** The database knows every entry up to this one, which stays. */
  readonly knownUpToId: string;
  /** The caller's wall clock, Unix milliseconds; with the server's, the earlier one counts. */
  readonly nowMs: number;
}

export interface LogAdmin {
  facts(): Promise<LogAdminFacts>;
  /**
   * Up to `count` entries (at most `READ_BACK_MAX_ENTRIES`) after the entry ID `id`, from the first
   * on if it is undefined; fewer than `count` means the end. Works during a restore, before `clear`.
   */
  entriesAfter(id: string | undefined, count: number): Promise<readonly RecordedEntry[]>;
  /**
   * Sets the marker, replacing any other, except in a retired log. Deletes nothing. `marker`: random,
   * used once.
   */
  beginRestore(marker: string): Promise<BegunRestore>;
  /** Deletes the log and its facts, and writes the entry that opens the new log. */
  clear(marker: string): Promise<RestoreStep>;
  /**
   * Appends at most `APPEND_MAX_ENTRIES`, in this order, to be remembered for `horizonS`. Throws a
   * RangeError, and writes none of them, if there is one that no node could read.
   */
  append(marker: string, horizonS: number, entries: readonly RestoredEntry[]): Promise<RestoreStep>;
  /**
   * Makes the log valid, for the server that `clear` found: refused where its replication ID has
   * changed since.
   */
  finish(marker: string, log: RestoredLog): Promise<RestoreStep>;
  /**
   * Removes entries that are older than the log's horizon and that the database knows; a bounded
   * number at once, and some may stay longer. Returns how many.
   */
  trim(request: TrimRequest): Promise<number>;
  /**
   * Stamps the log with the server's time; the stamp never goes backwards. Returns the nodes' rows of
   * that moment. undefined: nothing was stamped, because the log is of another generation, of no
   * database or of another server process, is retired, or is being restored.
   */
  keep(generation: string): Promise<NodeRows | undefined>;
  /**
   * Sets how many replicas must have an entry before it counts as published. A log of another
   * generation is left alone, and so is one that is being restored.
   */
  demandReplicas(generation: string, minReplicas: number): Promise<void>;
  /**
   * Removes rows and groups of nodes that were not seen for `notSeenForMs` by the server's clock, a
   * bounded number at once; returns how many. Rejects where there is no log.
   */
  removeSilentRows(notSeenForMs: number): Promise<number>;
  close(): void;
}
