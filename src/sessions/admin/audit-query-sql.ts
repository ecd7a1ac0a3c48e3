import { and, desc, eq, gte, lt } from "drizzle-orm";
import { z } from "zod";
import type { AuditKind, AuditOutcome } from "../audit/audit-trail.js";
import type { Queries } from "../database/queries-sql.js";
import { audit } from "../database/schema-sql.js";

/** Undefined fields do not narrow the search. */
export interface AuditFilter {
  readonly user?: string | undefined;
  readonly actor?: string | undefined;
  readonly kind?: AuditKind | undefined;
  /** Unix milliseconds, inclusive. */
  readonly fromMs?: number | undefined;
  /** Unix milliseconds, exclusive. */
  readonly toMs?: number | undefined;
}

export interface AuditRecord {
  /** Rises in the order in which rows were added, over all tenants. */
  readonly id: number;
  readonly atMs: number;
  /** One of AUDIT_KINDS, or what another version wrote. */
  readonly kind: string;
  readonly outcome: AuditOutcome;
  readonly reason: string | undefined;
  readonly actor: string;
  readonly user: string | undefined;
  readonly session: string | undefined;
  readonly address: string | undefined;
  readonly eventId: string | undefined;
  readonly detail: Readonly<Record<string, string | number | boolean>>;
}

export interface AuditAsked {
  readonly tenant: string;
  readonly filter: AuditFilter;
  /** Only rows added before this one. */
  readonly before: number | undefined;
  readonly limit: number;
}

const detailSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

/** Newest first. */
export async function readAuditRows(
  queries: Queries,
  { tenant, filter, before, limit }: AuditAsked,
): Promise<readonly AuditRecord[]> {
  const { user, actor, kind, fromMs, toMs } = filter;
  const rows = await queries
    .select()
    .from(audit)
    .where(
      and(
        eq(audit.tenantId, tenant),
        user === undefined ? undefined : eq(audit.userId, user),
        actor === undefined ? undefined : eq(audit.actor, actor),
        kind === undefined ? undefined : eq(audit.kind, kind),
        fromMs === undefined ? undefined : gte(audit.at, new Date(fromMs)),
        toMs === undefined ? undefined : lt(audit.at, new Date(toMs)),
        before === undefined ? undefined : lt(audit.auditId, before),
      ),
    )
    .orderBy(desc(audit.auditId))
    .limit(limit);
  return rows.map((row) => ({
    id: row.auditId,
    atMs: row.at.getTime(),
    kind: row.kind,
    outcome: row.outcome,
    reason: row.reason ?? undefined,
    actor: row.actor,
    user: row.userId ?? undefined,
    session: row.sessionId ?? undefined,
    address: row.address ?? undefined,
    eventId: row.eventId ?? undefined,
    detail: detailSchema.parse(row.detail),
  }));
}
