/** The role that a transaction runs under (`migrations/0001_roles.sql`). */
export type Scope =
  | { readonly role: "tenant"; readonly tenant: string }
  | { readonly role: "operator" | "relay" | "keys" | "purge" | "recovery" };

/**
 * The operators' tenant. It exists from the beginning and has no other users; what concerns no single
 * tenant is recorded under it.
 */
export const OPERATORS_TENANT = "sekisho";
