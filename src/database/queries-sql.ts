/** What queries are made with, whichever database is behind it. */
import { sql as fragment } from "drizzle-orm";
import type { PgDatabase, PgQueryResultHKT } from "drizzle-orm/pg-core";
import type { Scope } from "./database.js";

/** Within one transaction: another one cannot be begun in it. */
export type Queries = Omit<PgDatabase<PgQueryResultHKT>, "transaction">;

/** Takes role and tenant for the transaction that is under way; both end with it. */
export async function takeScope(queries: Queries, scope: Scope): Promise<void> {
  const tenant = scope.role === "tenant" ? scope.tenant : "";
  await queries.execute(
    fragment`SELECT set_config('sekisho.tenant', ${tenant}, true), set_config('role', ${`sekisho_${scope.role}`}, true)`,
  );
}
