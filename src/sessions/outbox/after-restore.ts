/**
 * What has to be done after the database was restored from a backup: it does not know what was
 * decided since then, while tokens and sessions from that time are still in use.
 *
 * Everything issued before now is revoked, by one cut-off of all. Every epoch is raised far beyond
 * what it can have reached meanwhile, because nodes may know a higher one; every session is ended.
 * Users added since the backup are missing, and so may be the keys that signed their tokens. So the
 * log is restored too, and declares that it covers nothing from before now.
 */
import { randomUUID } from "node:crypto";
import { recordAudit } from "../audit/audit-trail-sql.js";
import { nextSecond, type Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import { revocations } from "../database/schema-sql.js";
import { endUsersAfter, REASON } from "./after-restore-sql.js";
import { lockCutOffs, raiseCutOff } from "./cut-offs-sql.js";
import { requestRestore } from "./log-record-sql.js";
import { revocationRow } from "./revocation-record-sql.js";
import { coversOnlyFromMs } from "./relay-decision.js";

/** A statement for this many users takes less than a second. */
const USERS_AT_ONCE = 5000;
const AUDIT_ROWS_AT_ONCE = 500;

export interface AfterRestoreCounts {
  readonly tenants: number;
  readonly users: number;
  readonly sessions: number;
}

/**
 * One transaction: all of it, or nothing and a DatabaseError. `actor`: as in the audit trail. Call
 * it while no instance of the service runs; the relay does the rest once one is started.
 */
export async function afterRestore(
  database: Database,
  clock: Clock,
  actor: string,
): Promise<AfterRestoreCounts> {
  return database.transaction({ role: "recovery" }, async (queries) => {
    await lockCutOffs(queries);
    const atMs = clock.wallMs();
    const byTenant = new Map<string, { users: number; sessions: number }>();
    let sessions = 0;
    let users = 0;
    let after: { readonly tenant: string; readonly user: string } | undefined;
    for (;;) {
      const page = await endUsersAfter(queries, after, USERS_AT_ONCE, atMs);
      for (const one of page.tenants) {
        const before = byTenant.get(one.tenant) ?? { users: 0, sessions: 0 };
        byTenant.set(one.tenant, {
          users: before.users + one.users,
          sessions: before.sessions + one.sessions,
        });
        users += one.users;
        sessions += one.sessions;
      }
      if (page.last === undefined) break;
      after = page.last;
    }
    const issuedBefore = nextSecond(atMs);
    await raiseCutOff(queries, undefined, issuedBefore);
    const revocation = { kind: "all_revoked", issuedBefore } as const;
    const decided = { eventId: randomUUID(), revocation, atMs, reason: REASON, actor };
    await queries.insert(revocations).values(revocationRow(decided, "service"));
    await requestRestore(queries, { atMs, coversFromMs: coversOnlyFromMs(atMs) });
    const counts = { tenants: byTenant.size, users, sessions };
    // The operators' trail has the total.
    byTenant.delete("sekisho");
    const row = { atMs, kind: "restored_from_backup", outcome: "done", actor } as const;
    const rows = [
      { ...row, tenant: "sekisho", detail: counts },
      ...[...byTenant].map(([tenant, detail]) => ({ ...row, tenant, detail })),
    ];
    for (let from = 0; from < rows.length; from += AUDIT_ROWS_AT_ONCE) {
      await recordAudit(queries, ...rows.slice(from, from + AUDIT_ROWS_AT_ONCE));
    }
    return counts;
  });
}
