/**
 * The series of the session service's counters, which all start with 0: a rate over a series that
 * begins with its first event does not see that event.
 *
 * The types ensure that a new reason comes with its outcome.
 */
import type { ActLimitName, LimitName } from "./limits/login-limits.js";
import type { RestoreCause } from "./outbox/relay-decision.js";
import type { LoginObserver, RefreshObserver } from "./login/observers.js";
import type { PurgedRows } from "./login/purge.js";

type LoginOutcome = Parameters<LoginObserver["onLogin"]>[0];
type LoginReason = Parameters<LoginObserver["onLogin"]>[1];
type RefreshOutcome = Parameters<RefreshObserver["onRefresh"]>[0];
type RefreshReason = Parameters<RefreshObserver["onRefresh"]>[1];

/** Each login reason belongs to one outcome. Logins, refreshes and acts are counted separately. */
export const LOGIN_OUTCOMES = {
  password: "opened",
  one_time_password: "opened",
  bad_credentials: "refused",
  account_locked: "refused",
  account_disabled: "refused",
  account: "limited",
  address: "limited",
  spread: "limited",
  database: "failed",
  hashing_queue: "failed",
  keys: "failed",
  internal: "failed",
} as const satisfies Record<Exclude<LoginReason, "refresh" | ActLimitName>, LoginOutcome>;

/** A refresh hashes no password. */
export const REFRESH_OUTCOMES = {
  rotated: "rotated",
  sibling: "rotated",
  retry: "rotated",
  refresh_token_invalid: "refused",
  refresh_token_reused: "refused",
  session_ended: "refused",
  account_disabled: "refused",
  refresh: "limited",
  revocation_log: "failed",
  database: "failed",
  keys: "failed",
  internal: "failed",
} as const satisfies Record<Exclude<RefreshReason, "hashing_queue">, RefreshOutcome>;

export const LIMIT_NAMES = namesOf<LimitName>({
  account: true,
  address: true,
  spread: true,
  refresh: true,
  user_act: true,
  admin_act: true,
});

export const RESTORE_CAUSES = namesOf<RestoreCause>({
  log_missing: true,
  log_unreadable: true,
  restore_abandoned: true,
  authority_taken_over: true,
  server_changed: true,
  generation_differs: true,
  log_fell: true,
  entries_missing: true,
  horizon_too_short: true,
  partitions_differ: true,
  requested: true,
});

/** `left_out`: there was the same row within the last minute, or there were too many others. */
export const REFUSAL_ROWS = ["written", "left_out", "failed"] as const;

/** The database's names of the tables. */
export const PURGED_TABLES: Readonly<Record<keyof PurgedRows, string>> = {
  refreshTokens: "refresh_tokens",
  sessions: "sessions",
  loginFailures: "login_failures",
  revocations: "revocations",
};

function namesOf<Name extends string>(all: Readonly<Record<Name, true>>): readonly string[] {
  return Object.keys(all);
}
