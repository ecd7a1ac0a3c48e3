import { and, eq, gt, or } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { credentials, loginFailures, users } from "../database/schema-sql.js";
import type { LockedUser } from "../login/ending-sql.js";

export type Role = LockedUser["role"];

export interface UserView {
  readonly user: string;
  readonly login: string;
  readonly role: Role;
  readonly createdAtMs: number;
  readonly disabledAtMs: number | undefined;
  /** When the account's lock ends; may be in the past. */
  readonly lockedUntilMs: number | undefined;
}

export interface NewUser {
  readonly tenant: string;
  readonly user: string;
  readonly login: string;
  readonly role: Role;
  readonly passwordHash: string;
  readonly oneTime: boolean;
  readonly atMs: number;
}

/** False: the id or the login is taken. */
export async function addUser(queries: Queries, added: NewUser): Promise<boolean> {
  const { tenant: tenantId, user: userId, login, role } = added;
  const at = new Date(added.atMs);
  const rows = await queries
    .insert(users)
    .values({ tenantId, userId, login, role, createdAt: at })
    .onConflictDoNothing()
    .returning({ user: users.userId });
  if (rows.length === 0) return false;
  await queries.insert(credentials).values({
    tenantId,
    userId,
    passwordHash: added.passwordHash,
    oneTime: added.oneTime,
    changedAt: at,
  });
  return true;
}

/** Which of the two is taken; `user_id` if both are. */
export async function whatIsTaken(
  queries: Queries,
  {
    tenant,
    user,
    login,
  }: { readonly tenant: string; readonly user: string; readonly login: string },
): Promise<"user_id" | "login" | undefined> {
  const rows = await queries
    .select({ user: users.userId })
    .from(users)
    .where(and(eq(users.tenantId, tenant), or(eq(users.userId, user), eq(users.login, login))));
  if (rows.length === 0) return undefined;
  return rows.some((row) => row.user === user) ? "user_id" : "login";
}

/** At most `limit` users whose ids come after `after`, by id. */
export async function readUsers(
  queries: Queries,
  tenant: string,
  after: string | undefined,
  limit: number,
): Promise<readonly UserView[]> {
  const rows = await queries
    .select({ user: users, lockedUntil: loginFailures.lockedUntil })
    .from(users)
    .leftJoin(
      loginFailures,
      and(eq(loginFailures.tenantId, users.tenantId), eq(loginFailures.login, users.login)),
    )
    .where(
      and(eq(users.tenantId, tenant), after === undefined ? undefined : gt(users.userId, after)),
    )
    .orderBy(users.userId)
    .limit(limit);
  return rows.map(({ user, lockedUntil }) => ({
    user: user.userId,
    login: user.login,
    role: user.role,
    createdAtMs: user.createdAt.getTime(),
    disabledAtMs: user.disabledAt?.getTime(),
    lockedUntilMs: lockedUntil?.getTime(),
  }));
}
