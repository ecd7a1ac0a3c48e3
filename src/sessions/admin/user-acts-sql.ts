import { and, eq, isNull } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { credentials, users } from "../database/schema-sql.js";
import { OPERATORS_TENANT } from "../database/scope.js";
import type { UserTarget } from "./admin-act.js";

/**
 * The operators who are not disabled. Their rows are locked in the order of their ids, because two
 * who disable each other at the same moment must not both succeed.
 */
export async function enabledOperators(queries: Queries): Promise<readonly string[]> {
  const rows = await queries
    .select({ user: users.userId, disabledAt: users.disabledAt })
    .from(users)
    .where(eq(users.tenantId, OPERATORS_TENANT))
    .orderBy(users.userId)
    .for("no key update");
  return rows.filter(({ disabledAt }) => disabledAt === null).map(({ user }) => user);
}

/** `sinceMs` undefined: enabled. A user who is disabled already keeps their time. */
export async function setDisabled(
  queries: Queries,
  { tenant, user }: UserTarget,
  sinceMs: number | undefined,
): Promise<void> {
  const mine = and(eq(users.tenantId, tenant), eq(users.userId, user));
  await (sinceMs === undefined
    ? queries.update(users).set({ disabledAt: null }).where(mine)
    : queries
        .update(users)
        .set({ disabledAt: new Date(sinceMs) })
        .where(and(mine, isNull(users.disabledAt))));
}

export async function replacePassword(
  queries: Queries,
  changed: UserTarget & {
    readonly passwordHash: string;
    readonly oneTime: boolean;
    readonly atMs: number;
  },
): Promise<void> {
  const { tenant: tenantId, user: userId, passwordHash, oneTime } = changed;
  const set = { passwordHash, oneTime, oneTimeUsedAt: null, changedAt: new Date(changed.atMs) };
  await queries
    .insert(credentials)
    .values({ tenantId, userId, ...set })
    .onConflictDoUpdate({ target: [credentials.tenantId, credentials.userId], set });
}
