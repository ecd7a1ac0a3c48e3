import { eq } from "drizzle-orm";

import type { Database } from "../../src/sessions/database/database.js";
import {
  audit,
  credentials,
  loginFailures,
  refreshTokens,
  revocations,
  sessions,
  tenants,
  users,
} from "../../src/sessions/database/schema-sql.js";

const TABLES = {
  tenants,
  users,
  credentials,
  sessions,
  refreshTokens,
  revocations,
  audit,
  loginFailures,
} as const;

/** Every row that a tenant has, as one text each, sorted; to see that nothing has changed. */
export async function tenantRows(db: Database, tenant: string): Promise<readonly string[]> {
  return db.transaction({ role: "tenant", tenant }, async (queries) => {
    const found: string[] = [];
    for (const [name, table] of Object.entries(TABLES)) {
      const rows = await queries.select().from(table).where(eq(table.tenantId, tenant));
      found.push(...rows.map((row) => `${name} ${JSON.stringify(row)}`));
    }
    return found.sort();
  });
}
