import { eq, gt } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { tenants } from "../database/schema-sql.js";

export interface TenantView {
  readonly tenant: string;
  readonly name: string;
  readonly createdAtMs: number;
}

/** False: the id is taken. */
export async function addTenant(queries: Queries, added: TenantView): Promise<boolean> {
  const rows = await queries
    .insert(tenants)
    .values({
      tenantId: added.tenant,
      name: added.name,
      createdAt: new Date(added.createdAtMs),
    })
    .onConflictDoNothing()
    .returning({ tenant: tenants.tenantId });
  return rows.length > 0;
}

/** At most `limit` tenants whose ids come after `after`, by id. */
export async function readTenants(
  queries: Queries,
  after: string | undefined,
  limit: number,
): Promise<readonly TenantView[]> {
  const rows = await queries
    .select()
    .from(tenants)
    .where(after === undefined ? undefined : gt(tenants.tenantId, after))
    .orderBy(tenants.tenantId)
    .limit(limit);
  return rows.map(({ tenantId, name, createdAt }) => ({
    tenant: tenantId,
    name,
    createdAtMs: createdAt.getTime(),
  }));
}

/** Within a tenant's own transaction. */
export async function tenantExists(queries: Queries, tenant: string): Promise<boolean> {
  const rows = await queries
    .select({ tenant: tenants.tenantId })
    .from(tenants)
    .where(eq(tenants.tenantId, tenant));
  return rows.length > 0;
}
