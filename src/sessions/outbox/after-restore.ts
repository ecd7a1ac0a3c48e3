/**
 * What has to be done after the database was restored from a backup: it does not know what was
 * decided since then, while tokens and sessions from that time are still in use.
 *
 * Every epoch is raised far beyond what it can have reached meanwhile, and every session is ended.
 * Users added since the backup are missing, and so may be the keys that signed their tokens. So the
 * log is restored too, and declares that it covers nothing from before now.
 */
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import { revokeUsersAfter } from "./after-restore-sql.js";
import { requestRestore } from "./log-record-sql.js";
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
    const atMs = clock.wallMs();
    const act = { atMs, actor };
    const byTenant = new Map<string, { users: number; sessions: number }>();
    let sessions = 0;
    let users = 0;
    let after: { readonly tenant: string; readonly user: string } | undefined;
    for (;;) {
      const page = await revokeUsersAfter(queries, after, USERS_AT_ONCE, act);
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
