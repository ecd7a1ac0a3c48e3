import { z } from "zod";
import type { AuditKind } from "../audit/audit-trail.js";
import type { Database } from "../database/database.js";
import { readAuditRows, type AuditRecord } from "./audit-query-sql.js";
import {
  KEY_PARTS,
  pageOf,
  startOf,
  type CursorInvalid,
  type Page,
  type PageRequest,
} from "./page.js";
import { tenantExists } from "./tenants-sql.js";

/** What is left out does not narrow the search. */
export interface AuditFilter {
  readonly user?: string | undefined;
  readonly actor?: string | undefined;
  readonly kind?: AuditKind | undefined;
  /** Unix milliseconds: from this one on. */
  readonly fromMs?: number | undefined;
  /** Unix milliseconds: before this one. */
  readonly toMs?: number | undefined;
}

/** A tenant's trail, the newest first. undefined: no such tenant. */
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
