/**
 * Audit rows of failed logins. The actor is `anonymous`, because nothing is proved; the login that
 * was tried is in `detail`.
 */
import type { AuditEntry } from "../audit/audit-trail.js";
import { recordAudit } from "../audit/audit-trail-sql.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";

/** The service's own tenant. */
const OWN_TENANT = "sekisho";

export interface TriedLogin {
  readonly tenant: string;
  readonly login: string;
  readonly address: string;
}

/** `user`: whose login it is, if it exists. */
export function loginRefused(
  { tenant, login, address }: TriedLogin,
  user: string | undefined,
  refused: { readonly reason: string; readonly atMs: number },
): AuditEntry {
  const who = { actor: "anonymous", user, address, detail: { login } };
  return { tenant, kind: "login", outcome: "refused", ...refused, ...who };
}

/** Once per lockout. */
export function accountLocked(
  { tenant, login, address }: TriedLogin,
  user: string | undefined,
  atMs: number,
): AuditEntry {
  const who = { actor: "sekisho", user, address, detail: { login } };
  return { tenant, atMs, kind: "account_locked", outcome: "done", ...who };
}

export interface Recorded<T> {
  readonly result: T;
  readonly entries: readonly AuditEntry[];
  /** Whether the tenant that was tried exists. */
  readonly tenantKnown: boolean;
}

/**
 * Runs `work` as the tenant that was tried, with its entries in the same transaction. If there is
 * no such tenant, they are added to the service's own trail afterwards: a tenant created later
 * under that name must not find earlier attempts in its trail.
 */
export async function transactionWithTrail<T>(
  db: Database,
  tenant: string,
  work: (queries: Queries) => Promise<Recorded<T>>,
): Promise<T> {
  const done = await db.transaction({ role: "tenant", tenant }, async (queries) => {
    const recorded = await work(queries);
    if (recorded.tenantKnown) await recordAudit(queries, ...recorded.entries);
    return recorded;
  });
  if (!done.tenantKnown) {
    const entries = done.entries.map((entry) => ({
      ...entry,
      tenant: OWN_TENANT,
      detail: { ...entry.detail, tenant: entry.tenant },
    }));
    await db.transaction({ role: "tenant", tenant: OWN_TENANT }, (queries) =>
      recordAudit(queries, ...entries),
    );
  }
  return done.result;
}
