import { z } from "zod";
import type { Database } from "../database/database.js";
import { readAuditRows, type AuditFilter, type AuditRecord } from "./audit-query-sql.js";
import {
  KEY_PARTS,
  pageOf,
  startOf,
  type CursorInvalid,
  type Page,
  type PageRequest,
} from "./page.js";
import { tenantExists } from "./tenants-sql.js";

/** A tenant's audit trail, newest first. undefined: no such tenant. */
export async function readAudit(
  { db }: { readonly db: Database },
  tenant: string,
  { cursor, limit, ...filter }: AuditFilter & PageRequest,
): Promise<Page<AuditRecord> | CursorInvalid | undefined> {
  const list = { of: ["audit", tenant], key: z.tuple([KEY_PARTS.serial]) };
  const start = startOf(list, cursor);
  return db.transaction({ role: "tenant", tenant }, async (queries) => {
    if (!(await tenantExists(queries, tenant))) return undefined;
    if (start === "invalid") return { kind: "cursor_invalid" } as const;
    const asked = { tenant, filter, before: start?.[0], limit: limit + 1 };
    return pageOf(list, await readAuditRows(queries, asked), limit, ({ id }): [number] => [id]);
  });
}
