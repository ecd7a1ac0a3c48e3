/**
 * How often one account may act on sessions and users. Each such act writes to the database, and
 * most write a revocation to the log too, where every node has to apply it.
 *
 * Counted by account and not by session, because an account may have many sessions. Logging out is
 * not counted: it ends the caller's session, so the limits of logins bound it; and a stolen token
 * that has used up the account's limit must not keep its owner from logging out.
 *
 * Checked before the act's transaction: at most one round trip to Redis, bounded in time if Redis
 * does not answer (`login-limits-redis.ts`).
 */
import type { LoginLimits } from "../limits/login-limits.js";
import type { Caller } from "./caller.js";
import type { LoginObserver } from "./observers.js";

export interface ActLimitDependencies {
  readonly limits: Pick<LoginLimits, "admitAct">;
  readonly observer: Pick<LoginObserver, "onLimit">;
}

/** Counts one. In how many seconds the caller may try again; undefined: admitted. Never rejects. */
export async function actLimitedForS(
  { limits, observer }: ActLimitDependencies,
  { tenant, user, scopes }: Caller,
  address: string,
): Promise<number | undefined> {
  const isAdministrator = scopes.has("operator") || scopes.has("tenant_admin");
  const limit = isAdministrator ? "admin_act" : "user_act";
  const admission = await limits.admitAct(limit, { tenant, user });
  if (admission.admitted) return undefined;
  observer.onLimit(admission.limit, { tenant, address });
  return admission.retryAfterS;
}
