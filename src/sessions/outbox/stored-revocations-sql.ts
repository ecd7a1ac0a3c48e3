/** The revocations in the database. Under the role relay, except for `readRevocation`. */
import { and, asc, eq, gte, isNull, sql, type SQL } from "drizzle-orm";
import { z } from "zod";
import { revocations } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { readRevocation, type Revocation } from "../../revocation-log/entry.js";
import { PARTITION } from "../../revocation-log/partition.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import { recordTenantOf } from "./revocation-record-sql.js";

/** As in an entry of the log, for the kinds that have no columns of their own. */
const fieldsSchema = z.record(z.string(), z.string());

export interface StoredRevocation extends DecidedRevocation {
  /** Where it is known to be published first; undefined: it is pending. */
  readonly published: Pick<Publication, "generation" | "seq"> | undefined;
}

/** The oldest that are not known to be published, after `after` in the order of their times. */
export function pendingAfter(
  queries: Queries,
  after: DecidedRevocation | undefined,
  count: number,
): Promise<readonly StoredRevocation[]> {
  return readAfter(queries, after, {
    count,
    where: and(eq(revocations.partition, PARTITION), isNull(revocations.publishedAt)),
  });
}

/**
 * All decided at `sinceMs` or later, after `after` in the order of their times.
 *
 * Without statistics (PGlite never gathers any) the planner assumes a small table and sorts all of
 * it for every page, so the index is made its only choice.
 */
export async function decidedAfter(
  queries: Queries,
  sinceMs: number,
  after: DecidedRevocation | undefined,
  count: number,
): Promise<readonly StoredRevocation[]> {
  await queries.execute(
    sql`SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)`,
  );
  return readAfter(queries, after, {
    count,
    where: and(eq(revocations.partition, PARTITION), gte(revocations.at, new Date(sinceMs))),
  });
}

async function readAfter(
  queries: Queries,
  after: DecidedRevocation | undefined,
  wanted: { readonly count: number; readonly where: SQL | undefined },
): Promise<readonly StoredRevocation[]> {
  const beyond =
    after === undefined
      ? undefined
      : sql`(${revocations.at}, ${revocations.tenantId}, ${revocations.eventId}) > (${new Date(after.atMs).toISOString()}::timestamptz, ${recordTenantOf(after.revocation)}, ${after.eventId}::uuid)`;
  const rows = await queries
    .select()
    .from(revocations)
    .where(and(wanted.where, beyond))
    .orderBy(asc(revocations.at), asc(revocations.tenantId), asc(revocations.eventId))
    .limit(wanted.count);
  return rows.map(toStored);
}

/** One revocation, for its tenant or the relay. undefined: none, or purged. */
export async function findRevocation(
  queries: Queries,
  tenant: string,
  eventId: string,
): Promise<StoredRevocation | undefined> {
  const [row] = await queries
    .select()
    .from(revocations)
    .where(and(eq(revocations.tenantId, tenant), eq(revocations.eventId, eventId)));
  return row && toStored(row);
}

function toStored(row: typeof revocations.$inferSelect): StoredRevocation {
  return {
    eventId: row.eventId,
    revocation: toRevocation(row),
    atMs: row.at.getTime(),
    reason: row.reason ?? undefined,
    actor: row.actor ?? undefined,
    published:
      row.publishedGeneration === null || row.publishedSeq === null
        ? undefined
        : { generation: row.publishedGeneration, seq: row.publishedSeq },
  };
}

function toRevocation(row: typeof revocations.$inferSelect): Revocation {
  const { kind, tenantId: tenant, userId: user, sessionId: session } = row;
  if (kind === "session_revoked" && session !== null) {
    return { kind, tenant, session, user: user ?? undefined };
  }
  if (kind === "user_revoked" && user !== null) {
    const [epoch, issuedBefore] = [row.epoch ?? undefined, row.issuedBefore ?? undefined];
    return { kind, tenant, user, epoch, issuedBefore };
  }
  const revocation = readRevocation(fieldsSchema.parse(row.fields));
  if (revocation !== undefined) return revocation;
  throw new Error(`revocation ${row.eventId} breaks the table's own checks`);
}

/** A revocation written into a log that was still current in the database afterwards. */
export interface Publication {
  readonly committed: DecidedRevocation;
  readonly generation: string;
  readonly seq: number;
  /** In the stream; left out: not known, and no receipt is waited for. */
  readonly entryId?: string | undefined;
}

/**
 * Marks them as published, and where; those that were marked before stay unchanged. One statement
 * per generation, usually one in total.
 *
 * Each row is found once by its primary key and updated there. With a join, a planner without
 * statistics would scan all keys for each pending row; so would IS NULL. A row that is moved
 * meanwhile stays pending, and is published again.
 */
export async function markPublished(
  queries: Queries,
  published: readonly Publication[],
  atMs: number,
): Promise<void> {
  const at = sql`${new Date(atMs).toISOString()}::timestamptz`;
  for (const generation of new Set(published.map((one) => one.generation))) {
    const these = published.filter((one) => one.generation === generation);
    const keys = these.map(({ committed }) => keyOf(committed));
    const seqs = Object.fromEntries(
      these.map(({ committed, seq }) => [Object.values(keyOf(committed)).join(" "), seq]),
    );
    await queries.execute(sql`
      UPDATE sekisho.revocations SET published_at = ${at}, published_generation = ${generation},
        published_seq = (${JSON.stringify(seqs)}::jsonb->>(event_id || ' ' || tenant_id))::bigint
      WHERE ctid = ANY(ARRAY(
          SELECT (SELECT ctid FROM sekisho.revocations
                  WHERE tenant_id = tenant AND event_id = "eventId")
          FROM jsonb_to_recordset(${JSON.stringify(keys)}::jsonb)
            AS keys ("eventId" uuid, tenant text)))
        AND coalesce(published_at, 'infinity') = 'infinity'`);
  }
}

function keyOf({ eventId, revocation }: DecidedRevocation) {
  return { eventId, tenant: recordTenantOf(revocation) };
}

export interface PendingCount {
  /** At most `PENDING_COUNT_MAX`. */
  readonly count: number;
  /** Unix milliseconds. */
  readonly oldestAtMs: number | undefined;
}

/** Counting further would cost more than the exact number is worth. */
const PENDING_COUNT_MAX = 10_001;

const countSchema = z.object({
  rows: z.tuple([z.object({ count: z.coerce.number(), oldest: z.coerce.number().nullable() })]),
});

/** How many are not known to be published, and when the oldest was decided. */
export async function countPending(queries: Queries): Promise<PendingCount> {
  const found = await queries.execute(sql`
    SELECT count(*) AS "count", extract(epoch FROM min(at)) * 1000 AS "oldest"
    FROM (SELECT at FROM sekisho.revocations WHERE published_at IS NULL
          ORDER BY partition, at LIMIT ${PENDING_COUNT_MAX}) AS pending`);
  const [{ count, oldest }] = countSchema.parse(found).rows;
  return { count, oldestAtMs: oldest ?? undefined };
}
