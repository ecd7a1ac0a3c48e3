import { z } from "zod";
import type { AdminDependencies } from "../admin/admin-act.js";
import { readAudit } from "../admin/audit-query.js";
import type { AuditRecord } from "../admin/audit-query-sql.js";
import { createTenant, listTenants } from "../admin/tenants.js";
import type { TenantView } from "../admin/tenants-sql.js";
import { AUDIT_KINDS } from "../audit/audit-trail.js";
import { auditAnswer, tenantAnswer, tenantsAnswer } from "./answer-schemas.js";
import {
  actorField,
  idField,
  nameField,
  newIdField,
  noBody,
  noPath,
  noQuery,
  pageQuery,
  reasonField,
  tenantPath,
  timeField,
} from "./request-fields.js";
import { answered, invalidCursor, refused, type Routes } from "./route.js";
import { timeBody } from "./time-body.js";

const TAG = "Tenants";

export function addTenantCreation(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "POST",
    url: "/v1/admin/tenants",
    kind: "tenant_created",
    need: "operator",
    summary: "Create a tenant",
    tag: TAG,
    path: noPath,
    query: noQuery,
    body: z.strictObject({ tenant: newIdField, name: nameField, reason: reasonField.optional() }),
    answers: { 201: tenantAnswer },
    problems: ["tenant_exists"],
  } as const;
  routes.guarded(plan, async ({ caller, address, body: { tenant, name, reason } }) => {
    const outcome = await createTenant(dependencies, { caller, address, reason }, { tenant, name });
    if (outcome.kind === "caller_ended") return refused("invalid_token");
    if (outcome.kind === "exists") return refused("tenant_exists");
    return answered(201, tenantBody(outcome.tenant));
  });
}

export function addTenants(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "GET",
    url: "/v1/admin/tenants",
    need: "operator",
    summary: "List the tenants by id, including the operators' own",
    tag: TAG,
    path: noPath,
    query: pageQuery,
    body: noBody,
    answers: { 200: tenantsAnswer },
    problems: [],
  } as const;
  routes.guarded(plan, async ({ query }) => {
    const page = await listTenants(dependencies, query);
    if (page.kind === "cursor_invalid") return invalidCursor();
    return answered(200, { tenants: page.items.map(tenantBody), next_cursor: page.nextCursor });
  });
}

export function addAudit(routes: Routes, dependencies: AdminDependencies): void {
  const plan = {
    method: "GET",
    url: "/v1/admin/tenants/:tenant/audit",
    need: "tenant_admin",
    summary: "Read a tenant's audit trail, newest first",
    tag: TAG,
    path: tenantPath,
    query: z.strictObject({
      ...pageQuery.shape,
      user: idField.optional(),
      actor: actorField.optional(),
      kind: z.enum(AUDIT_KINDS).optional(),
      from: timeField.optional(),
      to: timeField.optional(),
    }),
    body: noBody,
    answers: { 200: auditAnswer },
    problems: ["not_found"],
  } as const;
  routes.guarded(plan, async ({ path, query: { from, to, ...asked } }) => {
    const page = await readAudit(dependencies, path.tenant, { ...asked, fromMs: from, toMs: to });
    if (page === undefined) return refused("not_found");
    if (page.kind === "cursor_invalid") return invalidCursor();
    return answered(200, { entries: page.items.map(auditBody), next_cursor: page.nextCursor });
  });
}

function tenantBody({ tenant, name, createdAtMs }: TenantView): z.input<typeof tenantAnswer> {
  return { tenant, name, created_at: timeBody(createdAtMs) };
}

type AuditBody = z.input<typeof auditAnswer>["entries"][number];

function auditBody(entry: AuditRecord): AuditBody {
  return {
    at: timeBody(entry.atMs),
    kind: entry.kind,
    outcome: entry.outcome,
    reason: entry.reason,
    actor: entry.actor,
    user_id: entry.user,
    session_id: entry.session,
    address: entry.address,
    event_id: entry.eventId,
    detail: { ...entry.detail },
  };
}
