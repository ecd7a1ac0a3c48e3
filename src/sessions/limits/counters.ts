/** The counters that the limits need, in memory or in Redis. */
import { accountKey, actorKey, addressKey } from "./limit-keys.js";
import type { ActLimitName, Actor, Admission, LimitName, LoginAttempt } from "./login-limits.js";

export type Count =
  | { readonly within: true }
  /** `freeInMs`: when the next attempt may be admitted. */
  | { readonly within: false; readonly freeInMs: number };

/** The limits that count attempts; `spread` counts distinct accounts. */
export type PointLimit = Exclude<LimitName, "spread">;

/** Each method is atomic. They may reject; the caller decides what happens then. */
export interface Counters {
  /** Counts one, even over the limit. The window begins with its first. */
  spend(limit: PointLimit, key: string): Promise<Count>;
  /** Takes one back, never below zero. */
  giveBack(limit: PointLimit, key: string): Promise<void>;
  /**
   * Notes that the address tried the account within the last window, unless it has tried too many
   * others. A refused account is not noted, so that trying it again is refused again.
   */
  occupy(address: string, account: string): Promise<Count>;
  /** Forgets that the address tried the account. */
  vacate(address: string, account: string): Promise<void>;
}

export async function countLogin(counters: Counters, attempt: LoginAttempt): Promise<Admission> {
  const address = addressKey(attempt.address);
  const account = accountKey(attempt.tenant, attempt.login);
  const byAddress = await counters.spend("address", address);
  if (!byAddress.within) return refusal("address", byAddress.freeInMs);
  const bySpread = await counters.occupy(address, account);
  if (!bySpread.within) return refusal("spread", bySpread.freeInMs);
  const byAccount = await counters.spend("account", account);
  return byAccount.within ? { admitted: true } : refusal("account", byAccount.freeInMs);
}

export async function countRefresh(counters: Counters, address: string): Promise<Admission> {
  const count = await counters.spend("refresh", addressKey(address));
  return count.within ? { admitted: true } : refusal("refresh", count.freeInMs);
}

export async function countAct(
  counters: Counters,
  limit: ActLimitName,
  { tenant, user }: Actor,
): Promise<Admission> {
  const count = await counters.spend(limit, actorKey(tenant, user));
  return count.within ? { admitted: true } : refusal(limit, count.freeInMs);
}

export async function takeBack(counters: Counters, attempt: LoginAttempt): Promise<void> {
  const account = accountKey(attempt.tenant, attempt.login);
  await counters.vacate(addressKey(attempt.address), account);
  await counters.giveBack("account", account);
}

function refusal(limit: LimitName, freeInMs: number): Admission {
  return { admitted: false, limit, retryAfterS: Math.max(1, Math.ceil(freeInMs / 1000)) };
}
