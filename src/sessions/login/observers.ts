/** The outcomes of logins and refreshes, for metrics and logs. Nothing here is a secret. */
import type { LimitName } from "../limits/login-limits.js";
import type { SystemFault } from "./system-fault.js";

export type LoginRefusal = "bad_credentials" | "account_locked" | "account_disabled";

/** `password` and `one_time_password` open a session; the others say why none was opened. */
export type LoginReason = "password" | "one_time_password" | LoginRefusal | LimitName | SystemFault;

/** Where the attempt came from, for the log: never a password or a token. */
export interface TriedFrom {
  /** undefined: not known yet. */
  readonly tenant?: string;
  readonly address: string;
}

export interface LockoutObserver {
  /** A login was locked after too many failures, whether or not the account exists. */
  onLockout(from: TriedFrom): void;
}

export interface LoginObserver extends LockoutObserver {
  onLogin(outcome: "opened" | "refused" | "limited" | "failed", reason: LoginReason): void;
  onLimit(limit: LimitName, from: TriedFrom): void;
}

export type RefreshRefusal =
  "refresh_token_invalid" | "refresh_token_reused" | "session_ended" | "account_disabled";

/** `rotated`: with a live token; `sibling` and `retry`: with a used one (`refresh-decision.ts`). */
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
  /** A replaced token was used again, so its session was ended. */
  onReuse(session: TriedFrom & { readonly eventId: string }): void;
  onLimit(limit: LimitName, from: TriedFrom): void;
}
