import { sql } from "drizzle-orm";
import { z } from "zod";
import type { Queries } from "../database/queries-sql.js";

/** Far more than any user's epoch can have risen since the backup. */
const EPOCH_LEAP = 1_000_000;
export const REASON = "restored_from_backup";

export interface UserLocation {
  readonly tenant: string;
  readonly user: string;
}

export interface EndedUsers {
  /** Each tenant once. */
  readonly tenants: readonly {
    readonly tenant: string;
    readonly users: number;
    readonly sessions: number;
  }[];
  /** Where the next page begins; undefined: no users are left. */
  readonly last: UserLocation | undefined;
}

const pageSchema = z.object({
  rows: z.array(z.object({ tenant: z.string(), user: z.string() })),
});

const countsSchema = z.object({
  rows: z.array(
    z.object({ tenant: z.string(), users: z.coerce.number(), sessions: z.coerce.number() }),
  ),
});

/**
 * Raises the epochs of the next `count` users after `after` (byte by byte, tenants first), and ends
 * their sessions. Role recovery.
 *
 * Each page follows the indexes from one user to another: joins would depend on a planner that may
 * not know how many users there are.
 */
export async function endUsersAfter(
  queries: Queries,
  after: UserLocation | undefined,
  count: number,
  atMs: number,
): Promise<EndedUsers> {
  const { tenant = "", user = "" } = after ?? {};
  await queries.execute(
    sql`SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_seqscan', 'off', true)`,
  );
  const beyond = sql`(tenant_id, user_id) > (${tenant}, ${user})`;
  const locked = await queries.execute(sql`
    SELECT tenant_id AS "tenant", user_id AS "user" FROM sekisho.users
    WHERE ${beyond} ORDER BY tenant_id, user_id LIMIT ${count}
    FOR NO KEY UPDATE`);
  const last = pageSchema.parse(locked).rows.at(-1);
  if (last === undefined) return { tenants: [], last: undefined };
  const these = sql`${beyond} AND (tenant_id, user_id) <= (${last.tenant}, ${last.user})`;
  const at = sql`${new Date(atMs).toISOString()}::timestamptz`;
  const counted = await queries.execute(sql`
    WITH raised AS (
      UPDATE sekisho.users
      SET user_epoch = least(user_epoch + ${EPOCH_LEAP}::bigint, ${Number.MAX_SAFE_INTEGER}::bigint)
      WHERE ${these}
      RETURNING tenant_id),
    ended AS (
      UPDATE sekisho.sessions SET ended_at = ${at}, ended_by = ${REASON}::text
      WHERE ${these} AND ended_at IS NULL
      RETURNING tenant_id)
    SELECT tenant AS "tenant", sum(users) AS "users", sum(sessions) AS "sessions"
    FROM (SELECT tenant_id AS tenant, 1 AS users, 0 AS sessions FROM raised
          UNION ALL SELECT tenant_id, 0, 1 FROM ended) AS counted
    GROUP BY tenant`);
  return { tenants: countsSchema.parse(counted).rows, last };
}
