/**
 * The audit trail: who did what, to whom, why, from where, with what outcome. Rows are only ever
 * added, and in the transaction of the act itself: there is no act without its row.
 * (What was refused has changed nothing; its row is `refusal-trail.ts`'s, or the verb's own.)
 */

/** The acts, in the words of the API. A closed list: people filter and alert by it. */
export const AUDIT_KINDS = [
  "login",
  "refresh",
  "refresh_token_reused",
  "logout",
  "session_revoked",
  "other_sessions_revoked",
  "user_revoked",
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
 * - `refused`: the user's side: wrong password, locked, disabled, not allowed.
 * - `failed`: the system's side: something that Sekisho depends on was away.
 */
export type AuditOutcome = "done" | "refused" | "failed";

export interface AuditEntry {
  /** Whose trail it stands in. */
  readonly tenant: string;
  readonly atMs: number;
  readonly kind: AuditKind;
  readonly outcome: AuditOutcome;
  /** Why it was refused or failed (a stable code), or the reason that the actor gave. */
  readonly reason?: string | undefined;
  /** `user:<tenant>/<user>`, `anonymous`, `sekisho` for what it does by itself, or `cli:<name>`. */
  readonly actor: string;
  readonly user?: string | undefined;
  readonly session?: string | undefined;
  /** From where: the peer's address. */
  readonly address?: string | undefined;
  /** The revocation that came of it. */
  readonly eventId?: string | undefined;
  /** Further facts, never a secret. */
  readonly detail?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** The actor's name for a user; ids may contain anything but control characters, so `/` is escaped. */
export function actorName(tenant: string, user: string): string {
  return `user:${encodeURIComponent(tenant)}/${encodeURIComponent(user)}`;
}
