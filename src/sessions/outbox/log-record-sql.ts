/** What the database knows of each partition's log. All under the roles relay or recovery. */
import { and, eq, getTableColumns, isNull, min, sql } from "drizzle-orm";
import { logRecords, TIMELINE } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import type { LogRecord } from "./relay-decision.js";

/** Now, and not the beginning of the transaction. */
const NOW_MS = sql<number>`(extract(epoch FROM clock_timestamp()) * 1000)::float8`;

export async function readLogRecord(
  queries: Queries,
  partition: number,
): Promise<LogRecord | undefined> {
  const [row] = await queries
    .select({ ...getTableColumns(logRecords), timeline: TIMELINE, readAtMs: NOW_MS })
    .from(logRecords)
    .where(eq(logRecords.partition, partition));
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
 * Makes sure that there is a record, and that restores own up to what may be lost from before
 * `coversFromMs` (0: nothing). Returns what they have to own up to now: it never falls.
 */
export async function recordCoverageGap(
  queries: Queries,
  partition: number,
  coversFromMs: number,
): Promise<number> {
  const coversFrom = coversFromMs > 0 ? new Date(coversFromMs) : null;
  const [row] = await queries
    .insert(logRecords)
    .values({ partition, seq: 0, coversFrom })
    .onConflictDoUpdate({
      target: logRecords.partition,
      // greatest() passes over NULL.
      set: { coversFrom: sql`greatest(${logRecords.coversFrom}, excluded.covers_from)` },
    })
    .returning({ coversFrom: logRecords.coversFrom });
  return row?.coversFrom?.getTime() ?? 0;
}

/** Raises the seq that the log of this generation is known to have reached. */
export async function recordSeq(
  queries: Queries,
  partition: number,
  reached: { readonly generation: string; readonly seq: number },
): Promise<void> {
  await queries
    .update(logRecords)
    .set({ seq: sql`greatest(${logRecords.seq}, ${reached.seq}::bigint)` })
    .where(ofGeneration(partition, reached.generation));
}

/** Says up to which entry the log of this generation was searched. */
export async function recordSearched(
  queries: Queries,
  partition: number,
  searched: { readonly generation: string; readonly entryId: string },
): Promise<void> {
  await queries
    .update(logRecords)
    .set({ importedEntryId: searched.entryId })
    .where(ofGeneration(partition, searched.generation));
}

/**
 * The log of this generation was searched to its end, which was at `seq` or beyond. What the database
 * had forgotten on this timeline is imported: acts may revoke again. So is what was published before
 * `atMs`, by the database's clock. Both are what was read before the search began.
 */
export async function recordSearchDone(
  queries: Queries,
  partition: number,
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
      // Later than before but where the clock was set back; then what it says now counts.
      searchedAt: new Date(done.atMs),
    })
    .where(ofGeneration(partition, done.generation));
}

/**
 * For how many milliseconds no instance has searched the log, the partition that is worst off;
 * undefined: there has never been one. For the role tenant, too.
 */
export async function readUnsearchedMs(queries: Queries): Promise<number | undefined> {
  const [row] = await queries
    .select({ searchedAt: min(logRecords.searchedAt), readAtMs: NOW_MS })
    .from(logRecords);
  const searchedAtMs = row?.searchedAt?.getTime();
  if (row === undefined || searchedAtMs === undefined) return undefined;
  return Math.max(0, row.readAtMs - searchedAtMs);
}

/**
 * Whether the database means the log of this generation, and no other one is being made. A statement
 * of its own: it sees what was committed before it began.
 */
export async function meansGeneration(
  queries: Queries,
  partition: number,
  generation: string,
): Promise<boolean> {
  const rows = await queries
    .select({ partition: logRecords.partition })
    .from(logRecords)
    .where(and(ofGeneration(partition, generation), isNull(logRecords.restoringGeneration)));
  return rows.length > 0;
}

/**
 * A restore begins that will make this generation. From now on the database means no log, until that
 * generation has been recorded or another restore has begun and recorded its own. There is a record:
 * see `recordCoverageGap`.
 */
export async function beginGeneration(
  queries: Queries,
  partition: number,
  generation: string,
): Promise<void> {
  await queries
    .update(logRecords)
    .set({ restoringGeneration: generation })
    .where(eq(logRecords.partition, partition));
}

/**
 * A new generation is about to begin. Recorded before it does, so that one that has begun is never
 * taken for another database's; as long as it has not, the marker in the log tells. False where
 * another restore has begun since, whose generation it will be.
 */
export async function recordGeneration(
  queries: Queries,
  partition: number,
  { generation, seq }: { readonly generation: string; readonly seq: number },
): Promise<boolean> {
  const rows = await queries
    .update(logRecords)
    .set({
      ...{ generation, seq },
      restoringGeneration: null,
      importedEntryId: null,
      restoredAt: null,
    })
    .where(and(eq(logRecords.partition, partition), eq(logRecords.restoringGeneration, generation)))
    .returning({ partition: logRecords.partition });
  return rows.length > 0;
}

/**
 * The generation has begun. Answers the request for a restore, unless there has been another one.
 * False where another generation was recorded meanwhile.
 */
export async function recordRestored(
  queries: Queries,
  partition: number,
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
    .where(ofGeneration(partition, generation))
    .returning({ partition: logRecords.partition });
  return rows.length > 0;
}

/** The log has to be made anew even if it looks sound, and own up to what is lost before then. */
export async function requestRestore(
  queries: Queries,
  partition: number,
  request: { readonly atMs: number; readonly coversFromMs: number },
): Promise<void> {
  await recordCoverageGap(queries, partition, request.coversFromMs);
  await queries
    .update(logRecords)
    .set({ restoreRequestedAt: new Date(request.atMs) })
    .where(eq(logRecords.partition, partition));
}

function ofGeneration(partition: number, generation: string) {
  return and(eq(logRecords.partition, partition), eq(logRecords.generation, generation));
}
