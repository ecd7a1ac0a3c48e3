/** As whom a transaction sees the tables (`migrations/0001_roles.sql`). */
export type Scope =
  | { readonly role: "tenant"; readonly tenant: string }
  | { readonly role: "operator" | "relay" | "keys" | "purge" | "recovery" };
