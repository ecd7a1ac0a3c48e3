/**
 * The nodes that follow the log, or followed one that was left, as far as the database
 * knows. All under the role relay.
 *
 * A row has the generation that the node had joined when it was last seen. While that is the
 * recorded one (`log_records`), the row says no more than the node's own row in Redis. Once another
 * generation is recorded, the node belongs to a *former* log, until it joins the new one or
 * `FORMER_NODES_MS` have passed: it may still follow the Redis that was left, and be fresh there.
 */
import { and, asc, eq, gt, inArray, lte, ne, sql } from "drizzle-orm";
import { logNodes, logRecords } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { PARTITION } from "../../revocation-log/partition.js";
import type { FormerNode, KnownNode } from "../../revocation-log/receipt.js";

export const FORMER_NODES_MS = 86_400_000;
/** Further nodes are not stored. */
export const LOG_NODES_MAX = 10_000;

export interface FormerNodes {
  /** The recorded generation; undefined: none yet. */
  readonly generation: string | undefined;
  readonly nodes: readonly FormerNode[];
}

/** The names of nodes last seen in the log of this generation. */
export async function nodesOf(queries: Queries, generation: string): Promise<readonly string[]> {
  const rows = await queries
    .select({ node: logNodes.node })
    .from(logNodes)
    .where(ofGeneration(generation));
  return rows.map(({ node }) => node);
}

/** Records nodes seen in the log of this generation, which is in use. */
export async function recordNodes(
  queries: Queries,
  seen: {
    readonly generation: string;
    readonly atMs: number;
    readonly nodes: readonly KnownNode[];
  },
): Promise<void> {
  const { generation, atMs, nodes } = seen;
  if (nodes.length === 0) return;
  const values = nodes.map(({ node, maxStalenessMs, onStale }) => ({
    node,
    maxStalenessMs,
    onStale,
  }));
  await queries.execute(sql`
    INSERT INTO sekisho.log_nodes
      (partition, node, generation, max_staleness_ms, on_stale, retired, seen_at)
    SELECT ${PARTITION}::integer, node, ${generation}::text, "maxStalenessMs", "onStale", false,
      ${new Date(atMs).toISOString()}::timestamptz
    FROM jsonb_to_recordset(${JSON.stringify(values)}::jsonb)
      AS seen (node text, "maxStalenessMs" bigint, "onStale" text)
    ON CONFLICT (partition, node) DO UPDATE SET generation = excluded.generation,
      max_staleness_ms = excluded.max_staleness_ms, on_stale = excluded.on_stale,
      retired = false, seen_at = excluded.seen_at`);
}

/** Deletes nodes that have left the log of this generation. */
export async function forgetNodes(
  queries: Queries,
  left: { readonly generation: string; readonly nodes: readonly string[] },
): Promise<void> {
  if (left.nodes.length === 0) return;
  await queries
    .delete(logNodes)
    .where(and(ofGeneration(left.generation), inArray(logNodes.node, [...left.nodes])));
}

/** Deletes nodes last seen more than FORMER_NODES_MS ago. */
export async function forgetFormerNodes(queries: Queries, nowMs: number): Promise<void> {
  await queries
    .delete(logNodes)
    .where(
      and(
        eq(logNodes.partition, PARTITION),
        lte(logNodes.seenAt, new Date(nowMs - FORMER_NODES_MS)),
      ),
    );
}

/** Nodes of former logs that have not joined the recorded one. */
export async function readFormerNodes(queries: Queries, nowMs: number): Promise<FormerNodes> {
  const [record] = await queries
    .select({ generation: logRecords.generation })
    .from(logRecords)
    .where(eq(logRecords.partition, PARTITION));
  const generation = record?.generation ?? undefined;
  if (generation === undefined) return { generation, nodes: [] };
  const nodes = await queries
    .select()
    .from(logNodes)
    .where(
      and(
        eq(logNodes.partition, PARTITION),
        ne(logNodes.generation, generation),
        gt(logNodes.seenAt, new Date(nowMs - FORMER_NODES_MS)),
      ),
    )
    .orderBy(asc(logNodes.node))
    .limit(LOG_NODES_MAX);
  return {
    generation,
    nodes: nodes.map(({ node, maxStalenessMs, onStale, retired }) => ({
      node,
      maxStalenessMs,
      onStale,
      retired,
    })),
  };
}

/** Records that the log of this generation was closed for its nodes, or reopened. */
export async function recordRetirement(
  queries: Queries,
  { generation, retired }: { readonly generation: string; readonly retired: boolean },
): Promise<void> {
  await queries.update(logNodes).set({ retired }).where(ofGeneration(generation));
}

/** Marks every former log as gone. Returns how many nodes that concerns. */
export async function retireFormerNodes(queries: Queries): Promise<number> {
  const current = queries
    .select({ generation: logRecords.generation })
    .from(logRecords)
    .where(eq(logRecords.partition, PARTITION));
  const rows = await queries
    .update(logNodes)
    .set({ retired: true })
    .where(and(eq(logNodes.partition, PARTITION), sql`${logNodes.generation} <> ALL (${current})`))
    .returning({ node: logNodes.node });
  return rows.length;
}

function ofGeneration(generation: string) {
  return and(eq(logNodes.partition, PARTITION), eq(logNodes.generation, generation));
}
