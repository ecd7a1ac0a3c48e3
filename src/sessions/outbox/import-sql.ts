/**
 * Imports entries of the log that the database does not know: into the table of revocations, into
 * the sessions and epochs, and into the audit trail. Role relay.
 *
 * If the database has no such session or user, the revocation is still recorded: it is in force,
 * and stays so when the log is restored.
 *
 * Until it is imported, the database lets the user refresh: for hours if the database was
 * unavailable, and for longer than nodes remember the entry. So an imported revocation is published
 * again, and is in force for a whole horizon from then on. A cut-off does not apply to tokens
 * issued after it, so each session that it ends here is revoked by its id as well.
 */
import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { z } from "zod";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { AuditEntry } from "../audit/audit-trail.js";
import { recordRevokedKey } from "./revoked-keys-sql.js";
import { revocations } from "../database/schema-sql.js";
import type { Queries } from "../database/queries-sql.js";
import { raiseCutOff, endsSessionsByCutOff } from "./cut-offs-sql.js";
import { tenantOf, userOf } from "../../revocation-log/entry.js";
import type { ImportedRevocation } from "./imported-entry.js";
import { insertRevocations, recordTenantOf, revocationRow } from "./revocation-record-sql.js";

/**
 * Imports those that are not known yet and returns them; skips the others. A cut-off of a tenant, or
 * of all, among them requires `lockCutOffs`.
 */
export async function importRevocations(
  queries: Queries,
  found: readonly ImportedRevocation[],
  nowMs: number,
): Promise<readonly ImportedRevocation[]> {
  if (found.length === 0) return [];
  const added = await queries
    .insert(revocations)
    .values(found.map((one) => revocationRow(one, "log")))
    .onConflictDoNothing()
    .returning({ tenant: revocations.tenantId, eventId: revocations.eventId });
  const byKey = new Map(
    found.map((one) => [keyOf(recordTenantOf(one.revocation), one.eventId), one]),
  );
  const imported = added.flatMap((row) => byKey.get(keyOf(row.tenant, row.eventId)) ?? []);
  if (imported.length === 0) return [];
  const cutOff = await applyToTruth(queries, imported, nowMs);
  const act = { atMs: nowMs, reason: "revocation_imported", actor: "sekisho" };
  for (const { revocation, actor, reason } of imported) {
    if (endsSessionsByCutOff(revocation)) {
      await raiseCutOff(queries, tenantOf(revocation), revocation.issuedBefore);
    }
    if (revocation.kind === "key_revoked") {
      await recordRevokedKey(queries, revocation, { ...act, actor: actor ?? act.actor, reason });
    }
  }
  await insertRevocations(
    queries,
    cutOff.map((ended) => ({
      eventId: randomUUID(),
      revocation: { kind: "session_revoked", ...ended },
      ...act,
    })),
  );
  await recordAudit(queries, ...imported.map((one) => auditEntry(one, nowMs)));
  return imported;
}

const keyOf = (tenant: string, eventId: string): string => `${eventId} ${tenant}`;

/** From this many on, a nested loop over all of them for each user or session takes too long. */
const FEW = 20;

const endedSchema = z.object({
  rows: z.array(z.object({ tenant: z.string(), user: z.string(), session: z.string() })),
});

/**
 * Locks users before sessions, in the common order. Returns the sessions that a cut-off ended.
 */
async function applyToTruth(
  queries: Queries,
  imported: readonly ImportedRevocation[],
  nowMs: number,
): Promise<z.infer<typeof endedSchema>["rows"]> {
  const given = sql`jsonb_to_recordset(${JSON.stringify(imported.map(({ revocation }) => revocation))}::jsonb)
    AS given (kind text, tenant text, "user" text, session text, epoch bigint, "issuedBefore" bigint)`;
  const ended = sql`ended_at = ${new Date(nowMs).toISOString()}::timestamptz,
    ended_by = 'revocation_imported'`;
  if (imported.length > FEW) {
    // Without statistics the planner would choose a nested loop; this makes it use a hash.
    await queries.execute(sql`SELECT set_config('enable_nestloop', 'off', true)`);
  }
  await queries.execute(sql`
    SELECT 1 FROM sekisho.users
    WHERE (tenant_id, user_id) IN (
      SELECT tenant, "user" FROM ${given} WHERE kind = 'user_revoked'
      UNION ALL
      SELECT sessions.tenant_id, sessions.user_id FROM ${given}
      JOIN sekisho.sessions ON tenant_id = tenant AND session_id = session
      WHERE kind = 'session_revoked')
    ORDER BY tenant_id, user_id
    FOR NO KEY UPDATE`);
  // If the epoch was reached already, its sessions were opened after what is revoked here.
  await queries.execute(sql`
    WITH raised AS (
      UPDATE sekisho.users SET user_epoch = risen.epoch
      FROM (SELECT tenant, "user", max(epoch) AS epoch FROM ${given}
            WHERE kind = 'user_revoked' GROUP BY tenant, "user") AS risen
      WHERE tenant_id = tenant AND user_id = "user" AND user_epoch < risen.epoch
      RETURNING tenant_id, user_id)
    UPDATE sekisho.sessions SET ${ended} FROM raised
    WHERE sessions.tenant_id = raised.tenant_id AND sessions.user_id = raised.user_id
      AND ended_at IS NULL`);
  const cutOff = await queries.execute(sql`
    UPDATE sekisho.sessions SET ${ended} FROM ${given}
    WHERE kind = 'user_revoked' AND tenant_id = tenant AND user_id = "user"
      AND extract(epoch FROM created_at) < "issuedBefore" AND ended_at IS NULL
    RETURNING tenant_id AS "tenant", user_id AS "user", session_id AS "session"`);
  await queries.execute(sql`
    UPDATE sekisho.sessions SET ${ended} FROM ${given}
    WHERE kind = 'session_revoked' AND tenant_id = tenant AND session_id = session
      AND ended_at IS NULL`);
  return endedSchema.parse(cutOff).rows;
}

/** The publisher's name is taken from the entry and not verified. */
function auditEntry(imported: ImportedRevocation, nowMs: number): AuditEntry {
  const { revocation, eventId, reason, actor, entryId, breakGlass } = imported;
  return {
    tenant: recordTenantOf(revocation),
    atMs: nowMs,
    kind: "revocation_imported",
    outcome: "done",
    reason,
    actor: "sekisho",
    user: userOf(revocation),
    session: revocation.kind === "session_revoked" ? revocation.session : undefined,
    eventId,
    detail: {
      kind: revocation.kind,
      entry: entryId,
      break_glass: breakGlass,
      ...(actor === undefined ? {} : { published_by: actor }),
    },
  };
}
