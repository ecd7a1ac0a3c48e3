/**
 * How often one account may act on sessions and users. Each such act writes to the database, and most
 * write a revocation to the log too, where every node has to apply it.
 *
 * Counted by account and not by session, because an account may have many sessions. Logging out is
 * not counted: it uses up the session that asks, so the limits of logins bound it; and whoever has
 * used up the limit of an account with a stolen token cannot keep its owner from logging out.
 *
 * Asked before the act's transaction: one round trip to Redis at most, and bounded in time where Redis
 * does not answer (`login-limits-redis.ts`).
 */
import type { LoginLimits } from "../limits/login-limits.js";
import type { Caller } from "./caller.js";
import type { LoginObserver } from "./observers.js";

export interface ActLimitDependencies {
  readonly limits: Pick<LoginLimits, "admitAct">;
  readonly observer: Pick<LoginObserver, "onLimit">;
}

/** Counts one. In how many seconds the caller may try again; undefined: now. Never rejects. */
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
