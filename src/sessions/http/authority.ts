/** Who the caller is and what they may do. Decided before a body is read. */
import { bearerTokenIn } from "../../tokens/bearer.js";
import { isIdentifier } from "../../tokens/identifier.js";
import type { Caller } from "../login/caller.js";
import type { Problem } from "./problem.js";

/**
 * What a route requires of its caller:
 *
 * - `session`: any session, even one that may only replace its one-time password;
 * - `user`: a full session;
 * - `tenant_admin`: an administrator of the tenant in the path, or an operator;
 * - `operator`.
 */
export type RequiredScope = "session" | "user" | "tenant_admin" | "operator";

/**
 * Why the caller may not; undefined if they may. An administrator of another tenant gets the same
 * answer whether or not the tenant exists.
 */
export function refusalOf(
  caller: Caller,
  need: RequiredScope,
  tenant: string | undefined,
): Problem | undefined {
  const { scopes } = caller;
  const insufficient: Problem = { code: "scope_insufficient" };
  if (need === "session") return undefined;
  if (need === "user") return scopes.has("user") ? undefined : insufficient;
  if (scopes.has("operator")) return undefined;
  if (need === "operator" || !scopes.has("tenant_admin")) return insufficient;
  // An invalid id is refused later, in the same way for every caller.
  if (tenant === undefined || !isIdentifier(tenant)) return undefined;
  return tenant === caller.tenant ? undefined : { code: "not_found" };
}

/**
 * The access token of a request. Several `authorization` headers are refused like an invalid one.
 */
export function bearerOf(
  authorization: readonly string[],
): { readonly token: string } | { readonly refused: Problem } {
  const [header, ...others] = authorization;
  if (header === undefined || !/^bearer( |$)/i.test(header)) {
    return { refused: { code: others.length > 0 ? "invalid_token" : "token_missing" } };
  }
  const token = others.length === 0 ? bearerTokenIn(header) : undefined;
  return token === undefined ? { refused: { code: "invalid_token" } } : { token };
}
