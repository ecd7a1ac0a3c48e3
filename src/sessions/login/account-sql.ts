import { and, eq } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { credentials, tenants, users } from "../database/schema-sql.js";
import type { CountedLogin } from "./lockout-sql.js";

export interface Credential {
  /** PHC form. */
  readonly passwordHash: string;
  readonly oneTime: boolean;
  /** A one-time password that has already opened its session. */
  readonly used: boolean;
}

export interface Account {
  readonly user: string;
  readonly credential: Credential;
}

export interface FoundAccount {
  readonly tenantKnown: boolean;
  /** undefined: no such login, or no password. */
  readonly account: Account | undefined;
}

/** Without locks: check the result again under them. */
export async function findAccount(
  queries: Queries,
  { tenant, login }: CountedLogin,
): Promise<FoundAccount> {
  const [row] = await queries
    .select({ user: users.userId, credential: credentials })
    .from(tenants)
    .leftJoin(users, and(eq(users.tenantId, tenants.tenantId), eq(users.login, login)))
    .leftJoin(
      credentials,
      and(eq(credentials.tenantId, users.tenantId), eq(credentials.userId, users.userId)),
    )
    .where(eq(tenants.tenantId, tenant));
  if (row === undefined) return { tenantKnown: false, account: undefined };
  const { user, credential } = row;
  if (user === null || credential === null) return { tenantKnown: true, account: undefined };
  return { tenantKnown: true, account: { user, credential: credentialOf(credential) } };
}

/** undefined: no such user. Not locked, because logins never change. */
export async function readLogin(
  queries: Queries,
  tenant: string,
  user: string,
): Promise<string | undefined> {
  const [row] = await queries
    .select({ login: users.login })
    .from(users)
    .where(and(eq(users.tenantId, tenant), eq(users.userId, user)));
  return row?.login;
}

/** Read it under the user's lock, which every change of a credential holds. */
export async function readCredential(
  queries: Queries,
  tenant: string,
  user: string,
): Promise<Credential | undefined> {
  const [row] = await queries.select().from(credentials).where(ofUser(tenant, user));
  return row && credentialOf(row);
}

export async function useOneTimePassword(
  queries: Queries,
  tenant: string,
  user: string,
  atMs: number,
): Promise<void> {
  await queries
    .update(credentials)
    .set({ oneTimeUsedAt: new Date(atMs) })
    .where(ofUser(tenant, user));
}

/** The same password, hashed at the current cost. */
export async function replaceHash(
  queries: Queries,
  tenant: string,
  user: string,
  passwordHash: string,
): Promise<void> {
  await queries.update(credentials).set({ passwordHash }).where(ofUser(tenant, user));
}

/** A password chosen by the user. */
export async function storeChosenPassword(
  queries: Queries,
  owner: { readonly tenant: string; readonly user: string },
  passwordHash: string,
  atMs: number,
): Promise<void> {
  await queries
    .update(credentials)
    .set({ passwordHash, oneTime: false, oneTimeUsedAt: null, changedAt: new Date(atMs) })
    .where(ofUser(owner.tenant, owner.user));
}

function ofUser(tenant: string, user: string) {
  return and(eq(credentials.tenantId, tenant), eq(credentials.userId, user));
}

function credentialOf(row: typeof credentials.$inferSelect): Credential {
  const { passwordHash, oneTime, oneTimeUsedAt } = row;
  return { passwordHash, oneTime, used: oneTime && oneTimeUsedAt !== null };
}
