/** What an access token of this service allows, by its user's role. */
import type { LockedUser } from "./ending-sql.js";

export type Role = LockedUser["role"];

/** Roles are scopes in the service's own access tokens. */
export const SCOPES = {
  operator: ["operator", "user"],
  tenant_admin: ["tenant_admin", "user"],
  user: ["user"],
} as const satisfies Readonly<Record<Role, readonly string[]>>;

/** The only scope of a session opened with a one-time password. */
export const PASSWORD_CHANGE_SCOPE = "password_change";

export function scopesOf(role: Role, passwordChangeOnly: boolean): readonly string[] {
  return passwordChangeOnly ? [PASSWORD_CHANGE_SCOPE] : SCOPES[role];
}
