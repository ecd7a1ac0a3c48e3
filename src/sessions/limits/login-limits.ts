/**
 * How often an address or an account may try to log in, to refresh or to act. The limits of logins
 * slow down guessing and shield the hashing of passwords; they know nothing of right and wrong and
 * nothing of which accounts exist, so an unknown account is limited exactly like a known one.
 *
 * Three limits for a login, asked in this order; the first one that refuses ends the matter, so that
 * a refused attempt uses up nothing of the limits after it (nobody locks out a stranger's account
 * from an address that has had its share):
 *
 * - `address`: attempts from one address, successful ones included, for they cost as much.
 * - `spread`: distinct accounts that one address tried in vain. Whoever tries one password on many
 *   accounts stays below every limit per account.
 * - `account`: attempts in vain on one (tenant, login), from wherever.
 *
 * "In vain" because `succeeded` takes the attempt back from the last two. So an honest user or an
 * office behind one address is not stopped by its own good logins, while the failures of others
 * stay counted: one success does not wipe out what an attacker has used up.
 *
 * Two limits for the acts of a caller who is logged in, by account (`sessions/act-limit.ts`):
 * `user_act` for ordinary users and `admin_act` for administrators. They bound how much one account
 * writes to the database and to the log, so every try counts.
 */
export interface LoginLimits {
  /** Counts the attempt and says whether it may go on. Never rejects and never takes long. */
  admit(attempt: LoginAttempt): Promise<Admission>;
  /** Counts a refresh from this address, apart from logins. Never rejects. */
  admitRefresh(from: Pick<LoginAttempt, "address">): Promise<Admission>;
  /**
   * Counts an act of this account. Never rejects, never takes long, and refuses nothing that is within
   * the limit: where the account cannot be counted, the act is admitted.
   */
  admitAct(limit: ActLimitName, actor: Actor): Promise<Admission>;
  /** The admitted attempt had the right password. To be called once for it. Never rejects. */
  succeeded(attempt: LoginAttempt): Promise<void>;
  close(): void;
}

export interface LoginAttempt {
  readonly tenant: string;
  readonly login: string;
  /** The peer's IP address. */
  readonly address: string;
}

/** The account that acts: in all of its sessions the same. */
export interface Actor {
  readonly tenant: string;
  readonly user: string;
}

export type ActLimitName = "user_act" | "admin_act";

export type LimitName = "account" | "address" | "spread" | "refresh" | ActLimitName;

export type Admission =
  | { readonly admitted: true }
  /** `retryAfterS`: seconds for `Retry-After`; at least 1, rounded up. */
  | { readonly admitted: false; readonly limit: LimitName; readonly retryAfterS: number };

/** At most `max` within `windowS` seconds. */
export interface Limit {
  readonly max: number;
  readonly windowS: number;
}

export type LimitSettings = Readonly<Record<LimitName, Limit>>;

export const DEFAULT_LIMITS: LimitSettings = {
  account: { max: 10, windowS: 60 },
  address: { max: 60, windowS: 60 },
  spread: { max: 20, windowS: 600 },
  refresh: { max: 600, windowS: 60 },
  user_act: { max: 60, windowS: 60 },
  // An incident: an operator's script ends many accounts in a row.
  admin_act: { max: 600, windowS: 60 },
};

/** The most that a limit may allow: what one address is remembered by for `spread` grows with it. */
const LIMIT_MAX = 100_000;
/** A day. */
const WINDOW_MAX_S = 86_400;

/** @throws RangeError if a limit is no whole number within bounds; called before anything opens */
export function requireUsableLimits(settings: LimitSettings): void {
  for (const [name, { max, windowS }] of Object.entries(settings)) {
    if (!Number.isSafeInteger(max) || max < 1 || max > LIMIT_MAX) {
      throw new RangeError(`the limit ${name} must be a whole number from 1 to ${LIMIT_MAX}`);
    }
    if (!Number.isSafeInteger(windowS) || windowS < 1 || windowS > WINDOW_MAX_S) {
      throw new RangeError(`the limit ${name} must be for 1 to ${WINDOW_MAX_S} whole seconds`);
    }
  }
}
