/**
 * The cut-offs of tenants, and of all of them: a session that began before a covering one is over,
 * and its refresh tokens with it.
 *
 * Whatever must not slip past a cut-off that is being committed (a refresh, an administrator's act)
 * shares a lock that raising a cut-off needs for itself. It is taken before every other lock, and the
 * cut-off is dated after it: so a transaction that did not see the cut-off has read its time before.
 */
import { eq, max, sql } from "drizzle-orm";
import { cutOffs, sessions } from "../database/schema-sql.js";
import { takeScope, type Queries } from "../database/queries-sql.js";
import type { Revocation } from "../../revocation-log/entry.js";
import { CUT_OFFS_LOCK, LOCK_CLASS } from "../database/advisory-lock-postgres.js";

/** Until the transaction ends, no cut-off is raised. */
export async function holdOffCutOffs(queries: Queries): Promise<void> {
  await queries.execute(
    sql`SELECT pg_advisory_xact_lock_shared(${LOCK_CLASS}::integer, ${CUT_OFFS_LOCK}::integer)`,
  );
}

/** Waits for every transaction that holds them off, and keeps others out until this one ends. */
export async function lockCutOffs(queries: Queries): Promise<void> {
  await queries.execute(
    sql`SELECT pg_advisory_xact_lock(${LOCK_CLASS}::integer, ${CUT_OFFS_LOCK}::integer)`,
  );
}

/**
 * Ends every session that began before `issuedBeforeS` (Unix seconds) in the tenant, or in all
 * (undefined). Requires `lockCutOffs`, taken before the clock was read.
 */
export async function raiseCutOff(
  queries: Queries,
  tenant: string | undefined,
  issuedBeforeS: number,
): Promise<void> {
  const issuedBefore = new Date(issuedBeforeS * 1000);
  await queries
    .insert(cutOffs)
    .values({ tenantId: tenant ?? ALL_TENANTS, issuedBefore })
    .onConflictDoUpdate({
      target: cutOffs.tenantId,
      set: { issuedBefore: sql`greatest(${cutOffs.issuedBefore}, excluded.issued_before)` },
    });
}

/**
 * When a session of the tenant, or of all (undefined), last began or was refreshed, by the clock of the
 * instance that did it: a cut-off that came before would let its tokens and its session live on. Unix
 * milliseconds; 0: never. Requires `lockCutOffs`. Leaves the transaction in another role.
 */
export async function latestUseMs(queries: Queries, tenant: string | undefined): Promise<number> {
  // The role tenant sees no other tenant's sessions.
  await takeScope(
    queries,
    tenant === undefined ? { role: "recovery" } : { role: "tenant", tenant },
  );
  const [row] = await queries
    .select({ latest: max(sessions.lastUsedAt) })
    .from(sessions)
    .where(tenant === undefined ? undefined : eq(sessions.tenantId, tenant));
  return row?.latest?.getTime() ?? 0;
}

/** Whether it has to be raised here when it is imported. */
export function endsSessionsByCutOff(
  revocation: Revocation,
): revocation is Extract<Revocation, { readonly kind: "tenant_revoked" | "all_revoked" }> {
  return revocation.kind === "tenant_revoked" || revocation.kind === "all_revoked";
}

/** No tenant's id. */
const ALL_TENANTS = "";

export interface CutOff {
  /** The audit kind of the act that raised it. */
  readonly kind: "tenant_revoked" | "all_revoked";
  /** Sessions that began before have ended then. Unix milliseconds. */
  readonly atMs: number;
}

/** The tenant's own and that of all. Under the role tenant. */
export async function readCutOffs(queries: Queries): Promise<readonly CutOff[]> {
  const rows = await queries.select().from(cutOffs);
  return rows.map(({ tenantId, issuedBefore }) => ({
    kind: tenantId === ALL_TENANTS ? "all_revoked" : "tenant_revoked",
    atMs: issuedBefore.getTime(),
  }));
}

/** Of a row of `sessions`. Under the role tenant, which sees its own cut-off and that of all. */
export const IS_CUT_OFF = sql<boolean>`coalesce(${sessions.createdAt} <
  (SELECT max(issued_before) FROM sekisho.cut_offs), false)`;
