import { z } from "zod";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { CallerEnded } from "../login/caller.js";
import { withCallerLock } from "./caller-lock.js";
import { actOf, type AdminDependencies, type ActorContext } from "./admin-act.js";
import {
  KEY_PARTS,
  pageOf,
  startOf,
  type CursorInvalid,
  type Page,
  type PageRequest,
} from "./page.js";
import { addTenant, readTenants, type TenantView } from "./tenants-sql.js";

export type CreateTenantOutcome =
  | { readonly kind: "created"; readonly tenant: TenantView }
  | { readonly kind: "exists" }
  | CallerEnded;

/** For operators. The operators' own tenant always exists, so it cannot be created. */
export async function createTenant(
  dependencies: AdminDependencies,
  by: ActorContext,
  { tenant, name }: { readonly tenant: string; readonly name: string },
): Promise<CreateTenantOutcome> {
  const scope = { role: "operator" } as const;
  return withCallerLock(
    dependencies,
    by.caller,
    { scope },
    async (queries): Promise<CreateTenantOutcome> => {
      const created: TenantView = { tenant, name, createdAtMs: dependencies.clock.wallMs() };
      if (!(await addTenant(queries, created))) return { kind: "exists" };
      const atMs = created.createdAtMs;
      const entry = { tenant, atMs, kind: "tenant_created", outcome: "done" } as const;
      // The first row of the new tenant's own trail.
      await recordAudit(queries, { ...entry, ...actOf(by) });
      return { kind: "created", tenant: created };
    },
  );
}

const TENANTS = { of: ["tenants"], key: z.tuple([KEY_PARTS.id]) };

/** For operators. All tenants by id, including the operators' own. */
export async function listTenants(
  { db }: AdminDependencies,
  { cursor, limit }: PageRequest,
): Promise<Page<TenantView> | CursorInvalid> {
  const start = startOf(TENANTS, cursor);
  if (start === "invalid") return { kind: "cursor_invalid" };
  const rows = await db.transaction({ role: "operator" }, (queries) =>
    readTenants(queries, start?.[0], limit + 1),
  );
  return pageOf(TENANTS, rows, limit, ({ tenant }) => [tenant]);
}
