/**
 * Restores the log from the database:
 *
 *   marker ─► search the old log ─► declare gaps, begin ─► clear ─► append all ─► record ─► finish ─► note
 *
 * Why nothing can be missing from the new log. An entry is *acknowledged* (`log-outbox.ts`), and
 * marked as published, only if the database, asked after the write, has the log's generation as its
 * current one. `begin` records in the database that this restore will make generation G: from then
 * on no generation is current, until `record` makes G current; and `record` fails if another
 * restore has begun since. So whatever was acknowledged before `record` was acknowledged before
 * `begin`, in whichever log and by whichever instance, and had been committed before that. Every
 * page is read after `begin`, and so sees it, in its place in an order that never changes. A
 * revocation that a page does not see, because it was committed later, was not acknowledged: its
 * entry in an old log, if any, does not count; it is still pending, and is published after
 * `finish`. Pages are ordered by the time of the decision and begin one horizon ago; earlier
 * decisions concern only tokens that have expired. So READ COMMITTED is enough, and no page needs
 * another's snapshot.
 *
 * What was appended counts as published in G as a whole: rows that were published in an earlier
 * generation keep that in their columns and are not changed; those that were pending are marked.
 *
 * The marker does in Redis what `begin` does in the database: nothing is written to this log until
 * `finish`, and no node reads it. The marker alone would not be enough: the log that is left may be
 * in another Redis, where nothing marks it.
 *
 * What was published past the service before the marker is in the old log, and is committed to the
 * database before `clear`. What may be in neither is recorded as a coverage gap, also before
 * `clear`, so that the restore that takes over from a killed one still knows of it.
 *
 * The generation is recorded before `finish`: a log with another generation was made by another
 * database. Until `finish` the marker shows that it is incomplete. What remains after `finish`,
 * first of all the audit row, is done by the next relay that finds it undone (`noteRestored`).
 *
 * Nodes that had applied the replaced log need not read the new one: `append-stored.ts` says in which
 * order it is written, and `finish` writes where its tail is. Which log is replaced is read in the
 * statement by which `begin` makes sure that no other restore is recorded in between. Where anything
 * of the old log may be lost, nodes are told nothing of it and read everything.
 *
 * The clock is the one that was checked before the restore began: pages begin one horizon before
 * that moment, even if the clock is set back meanwhile. A clock that jumps ahead would leave out
 * what is still needed.
 *
 * A restore that stops anywhere leaves the marker; the next one starts from the beginning.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Clock, Moment } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { LogAdminFacts, LogAdmin } from "../../revocation-log/log-admin.js";
import { PARTITION } from "../../revocation-log/partition.js";
import { RevocationLogError } from "../../revocation-log/revocation-log.js";
import { appendAll, type AppendedRow } from "./append-stored.js";
import { searchLog } from "./log-import.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { beginGeneration, recordCoverageGap, recordGeneration } from "./log-record-sql.js";
import {
  coversOnlyFromMs,
  inheritedCoversFromMs,
  searchedUpTo,
  type LogRequirements,
  type LogRecord,
  type RestoreCause,
} from "./relay-decision.js";
import { done, RestoreError } from "./restore-error.js";
import { noteRestored } from "./restore-note.js";
import { markPublished } from "./stored-revocations-sql.js";

const MARKED_AT_ONCE_MAX = 1000;

const IN_ORDER_CAUSES: ReadonlySet<RestoreCause> = new Set([
  "log_missing",
  "server_changed",
  "restore_abandoned",
]);

export interface RestoreDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly logAdmin: LogAdmin;
  readonly requirements: LogRequirements;
  /** Random, and never used before. */
  readonly newId: () => string;
}

/** The state that made the restore necessary. */
export interface FoundLog {
  readonly facts: LogAdminFacts;
  readonly record: LogRecord | undefined;
  readonly cause: RestoreCause;
  /** When its facts were compared with this machine's clock. */
  readonly judgedAt: Moment;
}

export interface Restored {
  readonly generation: string;
  readonly cause: RestoreCause;
  /** The last entry's. */
  readonly seq: number;
  /** How many revocations were published again. */
  readonly entries: number;
  readonly imported: number;
  readonly unreadable: number;
  readonly coversFromMs: number;
  readonly tookMs: number;
}

/**
 * Rejects with a RestoreError, a RevocationLogError, a DatabaseError or what `check` throws; the
 * log then stays marked. `check` is called between the steps.
 */
export async function restoreLog(
  given: RestoreDependencies,
  found: FoundLog,
  check: () => void,
): Promise<Restored> {
  const dependencies = { ...given, clock: notBefore(given.clock, found.judgedAt) };
  const { database, clock, logAdmin, requirements } = dependencies;
  const startedMs = clock.monotonicMs();
  const [marker, generation] = [dependencies.newId(), dependencies.newId()];
  const begun = await logAdmin.beginRestore(marker);
  if (!begun.done) throw new RestoreError("begin", begun.code);
  const old = await searchOldLog(dependencies, found, check);
  const inherited = inheritedCoversFromMs(found.facts, found.record, clock.wallMs());
  const lost = old.lost ? coversOnlyFromMs(clock.wallMs()) : 0;
  const { declaredMs, replaced } = await database.transaction(
    { role: "relay" },
    async (queries) => {
      const recordedMs = await recordCoverageGap(queries, Math.max(inherited, lost));
      const inOrder = isInOrder(found);
      const replaced = await beginGeneration(queries, { generation, inOrder });
      return { declaredMs: recordedMs, replaced };
    },
  );
  check();
  const opening = done("clear", await logAdmin.clear(marker));
  const sinceMs = found.judgedAt.wallMs - requirements.horizonS * 1000;
  const plan = { marker, sinceMs, opening, replaced };
  const again = await appendAll(dependencies, plan, check);
  const { seq, tail, unreadable } = again;
  const coversFromMs =
    unreadable.length === 0 ? declaredMs : await leftOut(dependencies, unreadable);
  const isRecorded = await database.transaction({ role: "relay" }, (queries) =>
    recordGeneration(queries, { generation, seq }),
  );
  if (!isRecorded) throw new RestoreError("record", "superseded");
  check();
  const { horizonS, minReplicas } = requirements;
  const isWhole = !old.lost && unreadable.length === 0;
  const previous =
    isWhole && replaced !== undefined
      ? { ...replaced, tailId: tail.id, tailSeq: tail.seq }
      : undefined;
  const log = { generation, horizonS, coversFromMs, minReplicas, previous };
  const finished = done("finish", await logAdmin.finish(marker, log));
  if (finished.seq !== seq) throw new RestoreError("finish", "entries_lost");
  const restored = {
    generation,
    cause: found.cause,
    seq,
    entries: again.entries,
    imported: old.imported,
    unreadable: old.unreadable + unreadable.length,
    coversFromMs,
    tookMs: Math.round(clock.monotonicMs() - startedMs),
  };
  await noteRestored(dependencies, restored, found.record?.restoreRequestedAtMs);
  await markAll(dependencies, generation, again.pending);
  return restored;
}

/** For revocations that cannot be written to the log: older tokens are then answered as stale. */
async function leftOut(
  { database, clock }: RestoreDependencies,
  unreadable: readonly DecidedRevocation[],
): Promise<number> {
  const atMs = clock.wallMs();
  const [first] = unreadable;
  return database.transaction({ role: "relay" }, async (queries) => {
    await recordAudit(queries, {
      tenant: "sekisho",
      atMs,
      kind: "log_restored",
      outcome: "failed",
      reason: "unreadable_revocation",
      actor: "sekisho",
      detail: { partition: PARTITION, count: unreadable.length, first_event: first?.eventId ?? "" },
    });
    return recordCoverageGap(queries, coversOnlyFromMs(atMs));
  });
}

/** The wall clock, but never behind the checked moment plus the time passed since then. */
function notBefore(clock: Clock, judgedAt: Moment): Clock {
  const monotonicMs = (): number => clock.monotonicMs();
  return {
    monotonicMs,
    wallMs: () => {
      const passedMs = Math.floor(monotonicMs() - judgedAt.monotonicMs);
      return Math.max(clock.wallMs(), judgedAt.wallMs + passedMs);
    },
  };
}

/**
 * Whether each seq of the old log names one entry, because nothing is published under another server
 * process or replication ID. A log that fell in the same process may have given a seq to a second entry,
 * and so may one of the first version, which records no replication ID.
 */
function isInOrder({ cause, facts: { meta } }: FoundLog): boolean {
  const isFirstVersions = typeof meta !== "string" && meta.replId === undefined;
  return IN_ORDER_CAUSES.has(cause) && !isFirstVersions;
}

interface OldLog {
  readonly imported: number;
  readonly unreadable: number;
  /** Something in it could not be read, and will be lost. */
  readonly lost: boolean;
}

async function searchOldLog(
  dependencies: RestoreDependencies,
  { facts, record, cause }: FoundLog,
  check: () => void,
): Promise<OldLog> {
  try {
    const { imported, unreadable } = await searchLog(dependencies, {
      // In a log that has lost entries, any entry may be new.
      after: cause === "entries_missing" ? undefined : searchedUpTo(facts, record),
      recorded: undefined,
      recordedSeq: 0,
      knownUpToSeq: 0,
      generation: undefined,
      check,
    });
    return { imported, unreadable, lost: unreadable > 0 };
  } catch (error) {
    // Not a stream at all, or a damaged one: it cannot be read now or later.
    if (error instanceof RevocationLogError && error.code === "unexpected") {
      return { imported: 0, unreadable: 0, lost: true };
    }
    throw error;
  }
}

/**
 * They are in the log of this generation and will be carried over into later ones, so marking them
 * is right whatever happens to this log meanwhile.
 */
async function markAll(
  { database, clock }: RestoreDependencies,
  generation: string,
  appended: readonly AppendedRow[],
): Promise<void> {
  for (let from = 0; from < appended.length; from += MARKED_AT_ONCE_MAX) {
    const some = appended.slice(from, from + MARKED_AT_ONCE_MAX);
    const published = some.map((one) => ({ ...one, generation }));
    await database.transaction({ role: "relay" }, (queries) =>
      markPublished(queries, published, clock.wallMs()),
    );
  }
}
