/** Who is told how logins and refreshes went, for metrics and logs. Nothing here is a secret. */
import type { LimitName } from "../limits/login-limits.js";
import type { SystemFault } from "./system-fault.js";

export type LoginRefusal = "bad_credentials" | "account_locked" | "account_disabled";

/** `password` and `one_time_password` open a session; the rest says why there is none. */
export type LoginReason = "password" | "one_time_password" | LoginRefusal | LimitName | SystemFault;

/** Whom it concerns, for the log: never a password or a token. */
export interface TriedFrom {
  /** undefined where it is not known yet. */
  readonly tenant?: string;
  readonly address: string;
}

export interface LockoutObserver {
  /** A login was locked: one that had too many failures, whether or not there is such an account. */
  onLockout(from: TriedFrom): void;
}

export interface LoginObserver extends LockoutObserver {
  onLogin(outcome: "opened" | "refused" | "limited" | "failed", reason: LoginReason): void;
  onLimit(limit: LimitName, from: TriedFrom): void;
}

export type RefreshRefusal =
  "refresh_token_invalid" | "refresh_token_reused" | "session_ended" | "account_disabled";

/** `rotated`: by a live token; `sibling` and `retry`: by a used one (`refresh-decision.ts`). */
export type RefreshReason =
  | "rotated"
  | "sibling"
  | "retry"
  | RefreshRefusal
  | "refresh"
  /** No instance has searched the log for too long. */
  | "revocation_log"
  | SystemFault;

export interface RefreshObserver {
  onRefresh(outcome: "rotated" | "refused" | "limited" | "failed", reason: RefreshReason): void;
  /** A token that had been replaced was used again, and its session was ended for it. */
  onReuse(session: TriedFrom & { readonly eventId: string }): void;
  onLimit(limit: LimitName, from: TriedFrom): void;
}
