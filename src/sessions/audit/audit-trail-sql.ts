import { audit } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import type { AuditEntry } from "./audit-trail.js";

/** Adds rows in the act's own transaction. */
export async function recordAudit(
  queries: Queries,
  ...entries: readonly AuditEntry[]
): Promise<void> {
  if (entries.length === 0) return;
  await queries.insert(audit).values(
    entries.map((entry) => ({
      tenantId: entry.tenant,
      at: new Date(entry.atMs),
      kind: entry.kind,
      outcome: entry.outcome,
      reason: entry.reason ?? null,
      actor: entry.actor,
      userId: entry.user ?? null,
      sessionId: entry.session ?? null,
      address: entry.address ?? null,
      eventId: entry.eventId ?? null,
      detail: entry.detail ?? {},
    })),
  );
}
