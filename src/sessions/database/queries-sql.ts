/** The query interface, the same for both databases. */
import { sql as fragment } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Scope } from "./scope.js";

/** Within one transaction; nesting is not possible. */
export type Queries = Omit<PgDatabase<PgQueryResultHKT>, "transaction">;

/**
 * The settings that give a transaction its role and tenant; both end with it. The tenant comes
 * first: setting it needs no privilege of the role.
 */
export function scopeSettings(scope: Scope): Readonly<Record<string, string>> {
  const tenant = scope.role === "tenant" ? scope.tenant : "";
  return { "sekisho.tenant": tenant, role: `sekisho_${scope.role}` };
}

/** Sets role and tenant for the current transaction. */
export async function takeScope(queries: Queries, scope: Scope): Promise<void> {
  const settings = Object.entries(scopeSettings(scope)).map(
    ([name, value]) => fragment`set_config(${name}, ${value}, true)`,
  );
  await queries.execute(fragment`SELECT ${fragment.join(settings, fragment`, `)}`);
}
