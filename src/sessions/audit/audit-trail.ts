/**
 * The audit trail: who did what, to whom, why, from where, with what outcome. Rows are only ever
 * added, in the transaction of the act itself: there is no act without its row. (A refused act has
 * changed nothing; its row is written by `refusal-trail.ts`, or by the verb itself.)
 */

/** The acts, as the API names them. A closed list: queries and alerts depend on it. */
export const AUDIT_KINDS = [
  "login",
  "refresh",
  "refresh_token_reused",
  "logout",
  "session_revoked",
  "other_sessions_revoked",
  "user_revoked",
  "token_revoked",
  "client_revoked",
  "key_revoked",
  "key_revocation_lifted",
  "tenant_revoked",
  "all_revoked",
  "user_created",
  "user_disabled",
  "user_enabled",
  "password_changed",
  "password_set",
  "account_locked",
  "account_unlocked",
  "tenant_created",
  "operator_created",
  "revocation_imported",
  "log_restored",
  "restored_from_backup",
  "signing_key_created",
] as const;

export type AuditKind = (typeof AUDIT_KINDS)[number];

/**
 * - `done`: it happened.
 * - `refused`: the caller's side: wrong password, locked, disabled, not allowed.
 * - `failed`: the system's side: something that Sekisho depends on was unavailable.
 */
export type AuditOutcome = "done" | "refused" | "failed";

export interface AuditEntry {
  /** The tenant whose trail it belongs to. */
  readonly tenant: string;
  readonly atMs: number;
  readonly kind: AuditKind;
  readonly outcome: AuditOutcome;
  /** Why it was refused or failed (a stable code), or the reason given by the actor. */
  readonly reason?: string | undefined;
  /** `user:<tenant>/<user>`, `anonymous`, `sekisho` for its own acts, or `cli:<name>`. */
  readonly actor: string;
  readonly user?: string | undefined;
  readonly session?: string | undefined;
  /** The client's address. */
  readonly address?: string | undefined;
  /** The revocation that it caused. */
  readonly eventId?: string | undefined;
  /** Further facts, never a secret. */
  readonly detail?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** A user's name as actor. Ids may contain anything but control characters, so `/` is escaped. */
export function actorName(tenant: string, user: string): string {
  return `user:${encodeURIComponent(tenant)}/${encodeURIComponent(user)}`;
}
