/** What queries are made with, whichever database is behind it. */
import { sql as fragment } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Scope } from "./scope.js";

/** Within one transaction: another one cannot be begun in it. */
export type Queries = Omit<PgDatabase<PgQueryResultHKT>, "transaction">;

/**
 * What a transaction sets for itself to have its role and tenant; both end with it. The tenant first:
 * it is nothing that the role would be allowed or forbidden.
 */
export function scopeSettings(scope: Scope): Readonly<Record<string, string>> {
  const tenant = scope.role === "tenant" ? scope.tenant : "";
  return { "sekisho.tenant": tenant, role: `sekisho_${scope.role}` };
}

/** Takes role and tenant for the transaction that is under way. */
export async function takeScope(queries: Queries, scope: Scope): Promise<void> {
  const settings = Object.entries(scopeSettings(scope)).map(
    ([name, value]) => fragment`set_config(${name}, ${value}, true)`,
  );
  await queries.execute(fragment`SELECT ${fragment.join(settings, fragment`, `)}`);
}
