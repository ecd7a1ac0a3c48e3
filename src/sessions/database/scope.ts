/** The role that a transaction runs under (`migrations/0001_roles.sql`). */
export type Scope =
  | { readonly role: "tenant"; readonly tenant: string }
  | { readonly role: "operator" | "relay" | "keys" | "purge" | "recovery" };
