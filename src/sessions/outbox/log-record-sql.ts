/** What the database records of the log. All under the roles relay or recovery. */
import { and, eq, getTableColumns, isNull, sql } from "drizzle-orm";
import { logRecords, TIMELINE } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { PARTITION } from "../../revocation-log/partition.js";
import type { LogRecord } from "./relay-decision.js";

const ROW = eq(logRecords.partition, PARTITION);
/** The current time, not the start of the transaction. */
const NOW_MS = sql<number>`(extract(epoch FROM clock_timestamp()) * 1000)::float8`;

export async function readLogRecord(queries: Queries): Promise<LogRecord | undefined> {
  const [row] = await queries
    .select({ ...getTableColumns(logRecords), timeline: TIMELINE, readAtMs: NOW_MS })
    .from(logRecords)
    .where(ROW);
  if (row === undefined) return undefined;
  return {
    generation: row.generation ?? undefined,
    restoringGeneration: row.restoringGeneration ?? undefined,
    seq: row.seq,
    importedEntryId: row.importedEntryId ?? undefined,
    searchedTimeline: row.searchedTimeline,
    timeline: row.timeline,
    searchedAtMs: row.searchedAt.getTime(),
    readAtMs: row.readAtMs,
    coversFromMs: row.coversFrom?.getTime(),
    restoreRequestedAtMs: row.restoreRequestedAt?.getTime(),
    restoredAtMs: row.restoredAt?.getTime(),
  };
}

/**
 * Makes sure that there is a record, and that restores declare possible losses from before
 * `coversFromMs` (0: none). Returns the recorded value, which never falls.
 */
export async function recordCoverageGap(queries: Queries, coversFromMs: number): Promise<number> {
  const coversFrom = coversFromMs > 0 ? new Date(coversFromMs) : null;
  const [row] = await queries
    .insert(logRecords)
    .values({ partition: PARTITION, seq: 0, coversFrom })
    .onConflictDoUpdate({
      target: logRecords.partition,
      // greatest() ignores NULL.
      set: { coversFrom: sql`greatest(${logRecords.coversFrom}, excluded.covers_from)` },
    })
    .returning({ coversFrom: logRecords.coversFrom });
  return row?.coversFrom?.getTime() ?? 0;
}

/** Raises the seq that the log of this generation is known to have reached. */
export async function recordSeq(
  queries: Queries,
  reached: { readonly generation: string; readonly seq: number },
): Promise<void> {
  await queries
    .update(logRecords)
    .set({ seq: sql`greatest(${logRecords.seq}, ${reached.seq}::bigint)` })
    .where(ofGeneration(reached.generation));
}

/** Records up to which entry the log of this generation was searched. */
export async function recordSearched(
  queries: Queries,
  searched: { readonly generation: string; readonly entryId: string },
): Promise<void> {
  await queries
    .update(logRecords)
    .set({ importedEntryId: searched.entryId })
    .where(ofGeneration(searched.generation));
}

/**
 * Records that the log of this generation was searched to its end, which was at `seq` or beyond. So
 * what the database had forgotten on this timeline is imported, and acts may revoke again. So is
 * everything published before `atMs`, by the database's clock. Both were read before the search
 * began.
 */
export async function recordSearchDone(
  queries: Queries,
  done: {
    readonly generation: string;
    readonly seq: number;
    readonly timeline: string;
    readonly atMs: number;
  },
): Promise<void> {
  await queries
    .update(logRecords)
    .set({
      seq: sql`greatest(${logRecords.seq}, ${done.seq}::bigint)`,
      searchedTimeline: done.timeline,
      // Later than before, unless the clock was set back; then the new time counts.
      searchedAt: new Date(done.atMs),
    })
    .where(ofGeneration(done.generation));
}

/**
 * How many milliseconds ago the log was last searched; undefined: there has never been a log. For
 * the role tenant, too.
 */
export async function readUnsearchedMs(queries: Queries): Promise<number | undefined> {
  const [row] = await queries
    .select({ searchedAt: logRecords.searchedAt, readAtMs: NOW_MS })
    .from(logRecords);
  return row && Math.max(0, row.readAtMs - row.searchedAt.getTime());
}

/**
 * Whether this generation is the current one and no other is being made. A statement of its own, so
 * it sees everything committed before it began.
 */
export async function isCurrentGeneration(queries: Queries, generation: string): Promise<boolean> {
  const rows = await queries
    .select({ partition: logRecords.partition })
    .from(logRecords)
    .where(and(ofGeneration(generation), isNull(logRecords.restoringGeneration)));
  return rows.length > 0;
}

/** The log that a restore replaces: everything published in it up to `seq` was in this generation. */
export interface ReplacedLog {
  readonly generation: string;
  readonly seq: number;
}

/**
 * Records that a restore begins, which will make this generation. From now on no generation is
 * current, until this one is recorded, or another restore has begun and recorded its own. The
 * record exists: see `recordCoverageGap`.
 *
 * Returns the generation that it replaces, which nothing else can replace from now on; undefined: there
 * was none, or it was out of order, now (`inOrder`) or at an earlier restore that was abandoned.
 */
export async function beginGeneration(
  queries: Queries,
  { generation, inOrder }: { readonly generation: string; readonly inOrder: boolean },
): Promise<ReplacedLog | undefined> {
  const [row] = await queries
    .update(logRecords)
    .set({
      restoringGeneration: generation,
      ...(inOrder ? {} : { inOrder: false }),
    })
    .where(ROW)
    .returning({
      generation: logRecords.generation,
      seq: logRecords.seq,
      inOrder: logRecords.inOrder,
    });
  if (row?.inOrder !== true || row.generation === null) return undefined;
  return { generation: row.generation, seq: row.seq };
}

/**
 * Records a new generation before it begins, so that it is never taken for another database's log;
 * until it begins, the marker in the log says so. False if another restore has begun since then,
 * which will make its own generation.
 */
export async function recordGeneration(
  queries: Queries,
  { generation, seq }: { readonly generation: string; readonly seq: number },
): Promise<boolean> {
  const rows = await queries
    .update(logRecords)
    .set({
      generation,
      seq,
      restoringGeneration: null,
      importedEntryId: null,
      restoredAt: null,
      inOrder: true,
    })
    .where(and(ROW, eq(logRecords.restoringGeneration, generation)))
    .returning({ partition: logRecords.partition });
  return rows.length > 0;
}

/**
 * Records that the generation has begun. Fulfils the request for a restore, unless there has been
 * another one. False if another generation was recorded meanwhile.
 */
export async function recordRestored(
  queries: Queries,
  restored: {
    readonly generation: string;
    readonly atMs: number;
    readonly requestedAtMs: number | undefined;
  },
): Promise<boolean> {
  const { generation, atMs, requestedAtMs } = restored;
  const rows = await queries
    .update(logRecords)
    .set({
      restoredAt: new Date(atMs),
      ...(requestedAtMs === undefined
        ? {}
        : {
            restoreRequestedAt: sql`nullif(${logRecords.restoreRequestedAt}, ${new Date(requestedAtMs).toISOString()}::timestamptz)`,
          }),
    })
    .where(ofGeneration(generation))
    .returning({ partition: logRecords.partition });
  return rows.length > 0;
}

/** Requests a restore of the log even if it looks sound, with the losses that it must declare. */
export async function requestRestore(
  queries: Queries,
  request: { readonly atMs: number; readonly coversFromMs: number },
): Promise<void> {
  await recordCoverageGap(queries, request.coversFromMs);
  await queries
    .update(logRecords)
    .set({ restoreRequestedAt: new Date(request.atMs) })
    .where(ROW);
}

function ofGeneration(generation: string) {
  return and(ROW, eq(logRecords.generation, generation));
}
