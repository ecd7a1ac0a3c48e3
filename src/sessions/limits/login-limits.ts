/**
 * How often an address or an account may try to log in, to refresh or to act. The limits of logins
 * slow down guessing and protect the hashing of passwords. They do not know whether an account
 * exists, so an unknown account is limited exactly like a known one.
 *
 * A login has three limits, asked in this order. The first refusal is final, so a refused attempt
 * does not count towards the limits after it: an address over its limit cannot lock other users'
 * accounts.
 *
 * - `address`: attempts from one address, including successful ones, which cost as much.
 * - `spread`: distinct accounts that one address tried without success. Trying one password on many
 *   accounts stays below every limit per account.
 * - `account`: failed attempts on one (tenant, login), from any address.
 *
 * Only failures count in the last two, because `succeeded` takes the attempt back. So a user, or an
 * office behind one address, is not limited by successful logins, while the failures of others stay
 * counted: one success does not reset what an attacker has used up.
 *
 * Two limits for the acts of a logged-in caller, by account (`login/act-limit.ts`): `user_act` for
 * ordinary users and `admin_act` for administrators. They bound how much one account writes to the
 * database and to the log, so every attempt counts.
 */
export interface LoginLimits {
  /** Counts the attempt and decides whether it may proceed. Never rejects, and is quick. */
  admit(attempt: LoginAttempt): Promise<Admission>;
  /** Counts a refresh from this address, separately from logins. Never rejects. */
  admitRefresh(from: Pick<LoginAttempt, "address">): Promise<Admission>;
  /**
   * Counts an act of this account. Never rejects, is quick, and refuses nothing within the limit:
   * an act that cannot be counted is admitted.
   */
  admitAct(limit: ActLimitName, actor: Actor): Promise<Admission>;
  /** The admitted attempt had the right password. Call it once per attempt. Never rejects. */
  succeeded(attempt: LoginAttempt): Promise<void>;
  close(): void;
}

export interface LoginAttempt {
  readonly tenant: string;
  readonly login: string;
  /** The client's IP address. */
  readonly address: string;
}

/** The acting account, the same in all of its sessions. */
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
  // In an incident, an operator's script may end many accounts in a row.
  admin_act: { max: 600, windowS: 60 },
};

/** The highest `max`: the memory that `spread` needs for one address grows with it. */
const LIMIT_MAX = 100_000;
/** A day. */
const WINDOW_MAX_S = 86_400;

/**
 * @throws RangeError if a limit is not a whole number within bounds; called before anything opens
 */
export function requireUsableLimits(settings: LimitSettings): void {
  for (const [name, { max, windowS }] of Object.entries(settings)) {
    if (!Number.isSafeInteger(max) || max < 1 || max > LIMIT_MAX) {
      throw new RangeError(`the limit ${name} must be a whole number from 1 to ${LIMIT_MAX}`);
    }
    if (!Number.isSafeInteger(windowS) || windowS < 1 || windowS > WINDOW_MAX_S) {
      throw new RangeError(
        `the window of the limit ${name} must be 1 to ${WINDOW_MAX_S} whole seconds`,
      );
    }
  }
}
