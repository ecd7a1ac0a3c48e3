import { sql } from "drizzle-orm";
import { z } from "zod";
import type { Queries } from "../database/queries-sql.js";
import { partitionOf } from "../revocation/partition.js";

/** More than any user's epoch can have risen since the backup was made. */
const EPOCH_LEAP = 1_000_000;
const REASON = "restored_from_backup";

export interface UserPlace {
  readonly tenant: string;
  readonly user: string;
}

export interface RevokedUsers {
  /** Each tenant once. */
  readonly tenants: readonly {
    readonly tenant: string;
    readonly users: number;
    readonly sessions: number;
  }[];
  /** Where the next page begins; undefined: there are no users left. */
  readonly last: UserPlace | undefined;
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
 * Raises the epochs of the next `count` users after `after` (byte by byte, tenants first), ends
 * their sessions and adds a revocation for each to the outbox. Role recovery.
 */
export async function revokeUsersAfter(
  queries: Queries,
  after: UserPlace | undefined,
  count: number,
  act: { readonly atMs: number; readonly actor: string },
): Promise<RevokedUsers> {
  const { tenant = "", user = "" } = after ?? {};
  const locked = await queries.execute(sql`
    SELECT tenant_id AS "tenant", user_id AS "user" FROM sekisho.users
    WHERE (tenant_id, user_id) > (${tenant}, ${user})
    ORDER BY tenant_id, user_id LIMIT ${count}
    FOR NO KEY UPDATE`);
  const page = pageSchema.parse(locked).rows;
  if (page.length === 0) return { tenants: [], last: undefined };
  const tenants = [...new Set(page.map((one) => one.tenant))];
  const partitions = JSON.stringify(
    tenants.map((one) => ({ tenant: one, partition: partitionOf(one) })),
  );
  const at = sql`${new Date(act.atMs).toISOString()}::timestamptz`;
  const counted = await queries.execute(sql`
    WITH page AS (
      SELECT given.tenant, given."user", partition
      FROM jsonb_to_recordset(${JSON.stringify(page)}::jsonb) AS given (tenant text, "user" text)
      JOIN jsonb_to_recordset(${partitions}::jsonb) AS places (tenant text, partition integer)
        ON places.tenant = given.tenant),
    raised AS (
      UPDATE sekisho.users
      SET user_epoch = least(user_epoch + ${EPOCH_LEAP}::bigint, ${Number.MAX_SAFE_INTEGER}::bigint)
      FROM page WHERE tenant_id = tenant AND user_id = "user"
      RETURNING tenant_id, user_id, user_epoch, partition),
    recorded AS (
      INSERT INTO sekisho.revocations
        (tenant_id, event_id, partition, kind, user_id, epoch, at, reason, actor, origin)
      SELECT tenant_id, gen_random_uuid(), partition, 'user_revoked', user_id, user_epoch, ${at},
        ${REASON}::text, ${act.actor}::text, 'service'
      FROM raised),
    ended AS (
      UPDATE sekisho.sessions SET ended_at = ${at}, ended_by = ${REASON}::text
      FROM page WHERE tenant_id = tenant AND user_id = "user" AND ended_at IS NULL
      RETURNING tenant_id)
    SELECT counted.tenant AS "tenant", sum(users) AS "users", sum(sessions) AS "sessions"
    FROM (SELECT tenant_id AS tenant, 1 AS users, 0 AS sessions FROM raised
          UNION ALL SELECT tenant_id, 0, 1 FROM ended) AS counted
    GROUP BY counted.tenant`);
  return { tenants: countsSchema.parse(counted).rows, last: page.at(-1) };
}
