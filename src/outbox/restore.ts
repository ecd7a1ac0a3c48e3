/**
 * Makes a partition's log anew from the database:
 *
 *   marker ─► search the old log ─► own up ─► clear ─► append all ─► record ─► finish ─► note
 *
 * Why nothing can be missing from the new log. Once the marker is set, nobody publishes until
 * `finish`. A revocation that was published before the marker had been committed before that, so
 * every page that is read after the marker sees it, in its place in an order that never changes. One
 * that a page does not see, because it was committed later, was not published before the marker
 * either: it is still pending, or its request publishes it after `finish`. Pages are ordered by
 * when a revocation was decided and begin one horizon ago; what was decided earlier concerns only
 * tokens that have expired. So READ COMMITTED is enough, and no page needs another's snapshot.
 *
 * What was published past the service before the marker stands in the old log, and is committed to
 * the database before `clear`. What may be in neither is owned up to, also before `clear`, so that
 * the restore that takes over from one that was killed still knows of it.
 *
 * The generation is recorded before `finish`: a log that calls itself by another was made by
 * somebody else. Until `finish` the marker tells that it is not complete. What remains after
 * `finish`, the audit's row first of all, is done by whoever finds it undone (`noteRestored`).
 *
 * A restore that stops anywhere leaves the marker; the next one begins anew.
 */
import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import {
  APPEND_MAX_ENTRIES,
  type KeeperFacts,
  type LogKeeper,
  type RestoreRefusal,
  type RestoreStep,
} from "../revocation/log-keeper.js";
import { RevocationLogError } from "../revocation/revocation-log.js";
import { searchLog } from "./log-import.js";
import { ownUp, recordGeneration } from "./log-record-sql.js";
import type { CommittedRevocation } from "./outbox.js";
import {
  coversOnlyFromMs,
  inheritedCoversFromMs,
  searchedUpTo,
  type LogDemands,
  type LogRecord,
  type RestoreCause,
} from "./relay-decision.js";
import { noteRestored } from "./restore-note.js";
import { decidedAfter, markPublished, type StoredRevocation } from "./stored-revocations-sql.js";

/** Read from the database at once. */
const PAGE_MAX_ROWS = 2500;
const MARKED_AT_ONCE_MAX = 1000;

export interface RestoreParts {
  readonly database: Database;
  readonly clock: Clock;
  readonly keeper: LogKeeper;
  readonly partition: number;
  readonly demands: LogDemands;
  /** A random text that was never used before. */
  readonly newId: () => string;
}

/** What made the restore necessary. */
export interface FoundLog {
  readonly facts: KeeperFacts;
  readonly record: LogRecord | undefined;
  readonly cause: RestoreCause;
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

/** A step that the keeper refused: it is somebody else's log now, or another server's. */
export class RestoreError extends Error {
  readonly code: RestoreRefusal;

  constructor(step: string, code: RestoreRefusal) {
    super(`${step}: ${REFUSALS[code]}`);
    this.name = "RestoreError";
    this.code = code;
  }
}

const REFUSALS: Readonly<Record<RestoreRefusal, string>> = {
  marker_lost: "somebody else has begun to restore the log, or has opened or deleted it",
  server_changed: "Redis was restarted meanwhile",
  entries_lost: "entries were deleted from the log meanwhile",
  log_retired: "the log was retired meanwhile",
};

/**
 * Rejects with a RestoreError, a RevocationLogError, a DatabaseError or what `check` throws, and
 * then the log stays marked. `check` is called between the steps.
 */
export async function restoreLog(
  parts: RestoreParts,
  found: FoundLog,
  check: () => void,
): Promise<Restored> {
  const { database, clock, keeper, partition, demands } = parts;
  const startedMs = clock.monotonicMs();
  const marker = parts.newId();
  const begun = await keeper.beginRestore(marker);
  if (!begun.done) throw new RestoreError("begin", begun.code);
  const old = await searchOldLog(parts, found, check);
  const inherited = inheritedCoversFromMs(found.facts, found.record, clock.wallMs());
  const lost = old.lost ? coversOnlyFromMs(clock.wallMs()) : 0;
  const coversFromMs = await database.transaction({ role: "relay" }, (queries) =>
    ownUp(queries, partition, Math.max(inherited, lost)),
  );
  check();
  const cleared = done("clear", await keeper.clear(marker));
  const again = await appendAll(parts, marker, check);
  const seq = again.seq ?? cleared;
  const generation = parts.newId();
  await database.transaction({ role: "relay" }, (queries) =>
    recordGeneration(queries, partition, { generation, seq }),
  );
  check();
  const { horizonS, partitions, minReplicas } = demands;
  const facts = { generation, horizonS, partitions, coversFromMs, minReplicas };
  done("finish", await keeper.finish(marker, facts));
  const restored = {
    generation,
    cause: found.cause,
    seq,
    entries: again.entries,
    imported: old.imported,
    unreadable: old.unreadable,
    coversFromMs,
    tookMs: Math.round(clock.monotonicMs() - startedMs),
  };
  await noteRestored(parts, restored, found.record?.restoreRequestedAtMs);
  await markAll(parts, again.pending);
  return restored;
}

interface OldLog {
  readonly imported: number;
  readonly unreadable: number;
  /** Something in it could not be read, and will be gone. */
  readonly lost: boolean;
}

async function searchOldLog(
  parts: RestoreParts,
  { facts, record, cause }: FoundLog,
  check: () => void,
): Promise<OldLog> {
  try {
    const { imported, unreadable } = await searchLog(parts, {
      // What stands in a log that has lost entries may be new in any place.
      after: cause === "entries_missing" ? undefined : searchedUpTo(facts, record),
      recorded: undefined,
      recordedSeq: 0,
      knownUpToSeq: 0,
      generation: undefined,
      check,
    });
    return { imported, unreadable, lost: unreadable > 0 };
  } catch (error) {
    // Not a stream at all, or one that is damaged: there is nothing to be had from it, now or later.
    if (error instanceof RevocationLogError && error.code === "unexpected") {
      return { imported: 0, unreadable: 0, lost: true };
    }
    throw error;
  }
}

interface Appended {
  readonly entries: number;
  /** The last entry's; undefined: none was appended. */
  readonly seq: number | undefined;
  readonly pending: readonly CommittedRevocation[];
}

async function appendAll(
  parts: RestoreParts,
  marker: string,
  check: () => void,
): Promise<Appended> {
  const { clock, demands } = parts;
  const sinceMs = clock.wallMs() - demands.horizonS * 1000;
  const pending: CommittedRevocation[] = [];
  let entries = 0;
  let seq: number | undefined;
  let page = await readPage(parts, sinceMs, undefined);
  while (page.length > 0) {
    const last = page.at(-1);
    // The next page is read while this one is written.
    const next = page.length < PAGE_MAX_ROWS ? Promise.resolve([]) : readPage(parts, sinceMs, last);
    const [read, appended] = await bothSettled(next, appendPage(parts, marker, page, check));
    seq = appended;
    entries += page.length;
    pending.push(...page.filter((one) => one.pending));
    page = read;
  }
  return { entries, seq, pending };
}

async function appendPage(
  { keeper, demands }: RestoreParts,
  marker: string,
  page: readonly StoredRevocation[],
  check: () => void,
): Promise<number | undefined> {
  let seq: number | undefined;
  for (let from = 0; from < page.length; from += APPEND_MAX_ENTRIES) {
    check();
    const some = page.slice(from, from + APPEND_MAX_ENTRIES);
    const entries = some.map((one) => ({ ...one, origin: undefined }));
    seq = done("append", await keeper.append(marker, demands.horizonS, entries));
  }
  return seq;
}

/** Nothing of it goes on in the background when it rejects. */
async function bothSettled<A, B>(a: Promise<A>, b: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([a, b]);
  return [await a, await b];
}

function readPage(
  { database, partition }: RestoreParts,
  sinceMs: number,
  after: CommittedRevocation | undefined,
): Promise<readonly StoredRevocation[]> {
  return database.transaction({ role: "relay" }, (queries) =>
    decidedAfter(queries, { partition, sinceMs }, after, PAGE_MAX_ROWS),
  );
}

async function markAll(
  { database, clock }: RestoreParts,
  published: readonly CommittedRevocation[],
): Promise<void> {
  for (let from = 0; from < published.length; from += MARKED_AT_ONCE_MAX) {
    const some = published.slice(from, from + MARKED_AT_ONCE_MAX);
    await database.transaction({ role: "relay" }, (queries) =>
      markPublished(queries, some, clock.wallMs()),
    );
  }
}

function done(what: string, step: RestoreStep): number {
  if (step.done) return step.seq;
  throw new RestoreError(what, step.code);
}
