/**
 * The relay's work on the log, done by the instance that holds the lock. One cycle:
 *
 * 1. revoke again the keys whose revocations would soon be forgotten;
 * 2. compare the log's facts with the record; a log that falls short is restored (`restore.ts`);
 * 3. publish what is pending;
 * 4. search the log's end for entries from elsewhere, and for missing ones;
 * 5. trim the log. Only the relay does, and only what was searched, and so imported, before.
 *
 * Two relays at once (one does not know yet that it has lost the lock) do no harm: entries may be
 * published twice, and of two restores the later one wins.
 */
import { momentOf } from "../../runtime/clock.js";
import { DatabaseError } from "../database/database.js";
import type { Publisher } from "../../revocation-log/publisher.js";
import {
  RevocationLogError,
  SILENT_AFTER_MS,
  type LogMeta,
} from "../../revocation-log/revocation-log.js";
import { searchLog } from "./log-import.js";
import { readLogRecord, recordSearchDone } from "./log-record-sql.js";
import { PENDING_PAGE_MAX, PendingPublishing } from "./pending-publishing.js";
import {
  judgeFromAside,
  judgeLog,
  justBefore,
  type LogRecord,
  type RelayProblem,
} from "./relay-decision.js";
import type { CycleStatus, RelayObserver } from "./relay-observer.js";
import { RestoreError } from "./restore-error.js";
import { noteRestored } from "./restore-note.js";
import { restoreLog, type FoundLog, type RestoreDependencies } from "./restore.js";
import { RevokedKeys } from "./revoked-keys.js";
import { pendingAfter } from "./stored-revocations-sql.js";

/** Between two cycles: how soon the relay notices anything. */
const CYCLE_MS = 100;
/** After a failed cycle. Trying to reach Redis is cheap. */
const PAUSES_MS = {
  redis_unavailable: 50,
  database_unavailable: 250,
  restore_failed: 50,
  unexpected: 1000,
} as const;
/** For a restore that keeps failing. */
const RESTORE_RETRY_MIN_MS = 50;
const RESTORE_RETRY_MAX_MS = 1000;
const SWEEP_MS = 60_000;
/** How often entries that are known and older than the horizon are removed from the log. */
const TRIM_MS = 1000;
/** How often a search is recorded in the database if there is nothing else to record. */
const NOTE_SEARCH_MS = 1000;
/** More restores than this, each within QUIET_MS of the last: another writer uses this log. */
const RESTORES_AT_ONCE_MAX = 5;
const QUIET_MS = 10_000;

export interface RelayCycleDependencies extends RestoreDependencies {
  readonly publisher: Publisher;
  readonly observer: RelayObserver;
}

interface Cycle {
  readonly pauseMs: number;
  readonly problem?: RelayProblem;
}

interface Known {
  readonly generation: string;
  readonly seq: number;
  /** As recorded in the database: see `LogRecord.importedEntryId`. */
  readonly entryId: string | undefined;
}

/** The lock was lost, or the process is stopping. */
export class RelayStopped extends Error {}

export class RelayCycle {
  readonly #dependencies: RelayCycleDependencies;
  readonly #pending: PendingPublishing;
  readonly #revokedKeys: RevokedKeys;
  #status: CycleStatus = { problem: undefined, restores: 0, lastRestore: undefined };
  /** The problem last reported to the observer. */
  #lastReported: RelayProblem["code"] | undefined;
  /** Up to here this relay has looked up every entry of the generation, and recorded it. */
  #known: Known = { generation: "", seq: 0, entryId: undefined };
  #seenFromAside: RelayProblem["code"] | undefined;
  #restoring = false;
  #failedRestores = 0;
  #restoresAtOnce = 0;
  #restoredAtMs = -Infinity;
  #sweptAtMs = -Infinity;
  #trimmedAtMs = -Infinity;

  constructor(dependencies: RelayCycleDependencies) {
    this.#dependencies = dependencies;
    this.#pending = new PendingPublishing(dependencies);
    this.#revokedKeys = new RevokedKeys(dependencies);
  }

  get status(): CycleStatus {
    return this.#status;
  }

  /**
   * One cycle; returns how many milliseconds to wait before the next one. `check` throws
   * RelayStopped to end it between two steps. Rejects with nothing else.
   */
  async run(check: () => void): Promise<number> {
    try {
      const { pauseMs, problem } = await this.#work(check);
      this.#report(problem);
      return pauseMs;
    } catch (error) {
      if (error instanceof RelayStopped) throw error;
      return this.#failed(error);
    }
  }

  /**
   * Checks the log of this instance's Redis while another instance relays: it may be another log.
   * A problem may disappear once the other instance has done its work, so it counts only if it is
   * found twice in a row. `isAside`: whether another instance still relays. Never rejects.
   */
  async look(isAside: () => boolean): Promise<void> {
    const found = await this.#lookFromAside();
    if (!isAside()) return;
    const again = this.#seenFromAside === found?.code;
    this.#seenFromAside = found?.code;
    if (again) this.#report(found);
  }

  async #lookFromAside(): Promise<RelayProblem | undefined> {
    const { database, logAdmin, clock, requirements } = this.#dependencies;
    try {
      const record = await database.transaction({ role: "relay" }, (queries) =>
        readLogRecord(queries),
      );
      return judgeFromAside(await logAdmin.facts(), record, requirements, clock.wallMs());
    } catch (error) {
      const problem = problemOf(error);
      // Reported where the lock is tried.
      return problem.code === "database_unavailable" ? undefined : problem;
    }
  }

  /**
   * Another instance relays from now on. The problem is not reported as solved, because it may
   * persist; if the lock comes back, the first cycle without it reports that.
   */
  stopped(): void {
    this.#status = { ...this.#status, problem: undefined };
  }

  async #work(check: () => void): Promise<Cycle> {
    const { database, logAdmin, clock, requirements } = this.#dependencies;
    await this.#revokedKeys.revokeAgain();
    // The record first: requests publish and record meanwhile, and a log that is read after its
    // record contains at least what the record says.
    const { record, pending } = await database.transaction({ role: "relay" }, async (queries) => ({
      record: await readLogRecord(queries),
      pending: await pendingAfter(queries, undefined, PENDING_PAGE_MAX),
    }));
    const facts = await logAdmin.facts();
    check();
    const judgedAt = momentOf(clock);
    const judged = judgeLog(facts, record, requirements, judgedAt.wallMs);
    if (judged.kind === "wait") return { pauseMs: CYCLE_MS, problem: judged.problem };
    if (judged.kind === "restore") {
      return this.#restore({ facts, record, cause: judged.cause, judgedAt }, check);
    }
    const { meta } = judged;
    if (record === undefined) throw new Error("a log without a record is not sound");
    if (record.restoredAtMs === undefined) await this.#noteForAnother(meta, record);
    if (meta.minReplicas !== requirements.minReplicas) {
      await logAdmin.demandReplicas(meta.generation, requirements.minReplicas);
    }
    const { published, refusal } = await this.#pending.pass(pending, meta.generation, check);
    if (published > 0) this.#dependencies.observer.onPublished(published);
    if (!(await this.#searchEnd(meta, record, check))) {
      return this.#restore({ facts, record, cause: "entries_missing", judgedAt }, check);
    }
    await this.#trim();
    await this.#sweep();
    if (refusal === undefined) return { pauseMs: CYCLE_MS };
    const message = `${refusal.code}: ${refusal.message}`;
    return { pauseMs: CYCLE_MS, problem: { code: "publishing_refused", message } };
  }

  /** Imports what is new; false if the log ends before the seq in its own metadata. */
  async #searchEnd(meta: LogMeta, record: LogRecord, check: () => void): Promise<boolean> {
    const { database, observer } = this.#dependencies;
    const { generation } = meta;
    const recorded = record.importedEntryId;
    // A database that remembers less than this relay has recorded, or is on another timeline (a
    // failover to a standby that lagged), may also have lost what this relay has seen in it. That
    // was committed last: everything up to the entry that it still records was imported before.
    const { searchedTimeline, timeline, readAtMs } = record;
    const agrees =
      this.#known.generation === generation &&
      this.#known.entryId === recorded &&
      searchedTimeline === timeline;
    const found = await searchLog(this.#dependencies, {
      after: recorded === undefined ? undefined : justBefore(recorded),
      recorded,
      recordedSeq: record.seq,
      knownUpToSeq: agrees ? this.#known.seq : 0,
      generation,
      check,
    });
    const { imported, unreadable } = found;
    if (imported > 0 || unreadable > 0) observer.onImported(imported, unreadable);
    const seq = found.last?.seq ?? 0;
    if (seq < meta.seq) return false;
    this.#known = { generation, seq, entryId: found.last?.id };
    const notedMs = readAtMs - record.searchedAtMs;
    const isNoted = notedMs >= 0 && notedMs < NOTE_SEARCH_MS;
    if (!isNoted || searchedTimeline !== timeline || seq > record.seq) {
      const done = { generation, seq, timeline, atMs: readAtMs };
      await database.transaction({ role: "relay" }, (queries) => recordSearchDone(queries, done));
    }
    return true;
  }

  async #restore(found: FoundLog, check: () => void): Promise<Cycle> {
    const { clock, observer } = this.#dependencies;
    const quietMs = clock.monotonicMs() - this.#restoredAtMs;
    if (quietMs > QUIET_MS) this.#restoresAtOnce = 0;
    else if (this.#restoresAtOnce >= RESTORES_AT_ONCE_MAX && quietMs < RESTORE_RETRY_MAX_MS) {
      return { pauseMs: CYCLE_MS, problem: RESTORED_AGAIN_AND_AGAIN };
    }
    this.#restoring = true;
    const restored = await restoreLog(this.#dependencies, found, check);
    this.#restoring = false;
    this.#failedRestores = 0;
    this.#restoresAtOnce += 1;
    this.#restoredAtMs = clock.monotonicMs();
    this.#known = { generation: restored.generation, seq: restored.seq, entryId: undefined };
    const lastRestore = { ...restored, atMs: clock.wallMs() };
    this.#status = { ...this.#status, restores: this.#status.restores + 1, lastRestore };
    observer.onRestored(restored);
    if (restored.imported > 0 || restored.unreadable > 0) {
      observer.onImported(restored.imported, restored.unreadable);
    }
    return { pauseMs: 0 };
  }

  /** A relay that was stopped right after finishing its restore left this undone. */
  #noteForAnother({ generation, coversFromMs }: LogMeta, record: LogRecord): Promise<void> {
    const note = { generation, cause: "interrupted", coversFromMs } as const;
    return noteRestored(this.#dependencies, note, record.restoreRequestedAtMs);
  }

  /** After a search, which is recorded in the database by now. */
  async #trim(): Promise<void> {
    const { clock, logAdmin } = this.#dependencies;
    const { generation, entryId: knownUpToId } = this.#known;
    if (knownUpToId === undefined || clock.monotonicMs() - this.#trimmedAtMs < TRIM_MS) return;
    this.#trimmedAtMs = clock.monotonicMs();
    await logAdmin.trim({ generation, knownUpToId, nowMs: clock.wallMs() });
  }

  async #sweep(): Promise<void> {
    const { clock, logAdmin } = this.#dependencies;
    if (clock.monotonicMs() - this.#sweptAtMs < SWEEP_MS) return;
    this.#sweptAtMs = clock.monotonicMs();
    await logAdmin.removeSilentRows(SILENT_AFTER_MS);
  }

  #failed(error: unknown): number {
    const problem = problemOf(error);
    this.#report(problem);
    if (!this.#restoring) return PAUSES_MS[problem.code];
    this.#restoring = false;
    const backoffMs = RESTORE_RETRY_MIN_MS * 2 ** Math.min(this.#failedRestores, 10);
    this.#failedRestores += 1;
    return Math.max(PAUSES_MS[problem.code], Math.min(backoffMs, RESTORE_RETRY_MAX_MS));
  }

  #report(problem: RelayProblem | undefined): void {
    this.#status = { ...this.#status, problem };
    if (this.#lastReported === problem?.code) return;
    this.#lastReported = problem?.code;
    this.#dependencies.observer.onProblem(problem);
  }
}

const RESTORED_AGAIN_AND_AGAIN: RelayProblem = {
  code: "restore_failed",
  message:
    "the log keeps being replaced: does a session service with another database use this Redis?",
};

function problemOf(error: unknown): RelayProblem & { readonly code: keyof typeof PAUSES_MS } {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RevocationLogError) return { code: "redis_unavailable", message };
  if (error instanceof DatabaseError) return { code: "database_unavailable", message };
  return { code: error instanceof RestoreError ? "restore_failed" : "unexpected", message };
}
