/**
 * Deletes expired rows in batches, under the role `purge`. Each batch finds at most `max` rows by
 * the index on their time and deletes them by their keys. The condition is repeated in the DELETE,
 * so that a row changed in between (one more failure, say) is checked again and kept.
 */
import { and, asc, eq, isNotNull, isNull, lte, notExists, or, sql } from "drizzle-orm";
import { PARTITION } from "../../revocation-log/partition.js";
import type { Queries } from "../database/queries-sql.js";
import { loginFailures, refreshTokens, revocations, sessions } from "../database/schema-sql.js";

/** Returns how many rows it deleted. Times: Unix milliseconds. */
type Batch<Bound> = (queries: Queries, bound: Bound, max: number) => Promise<number>;

export const purgeRefreshTokens: Batch<{ readonly expiredMs: number }> = async (
  queries,
  { expiredMs },
  max,
) => {
  const expired = lte(refreshTokens.expiresAt, new Date(expiredMs));
  const found = queries
    .select({ tenant: refreshTokens.tenantId, hash: refreshTokens.tokenHash })
    .from(refreshTokens)
    .where(expired)
    .orderBy(asc(refreshTokens.expiresAt))
    .limit(max);
  const key = sql`(${refreshTokens.tenantId}, ${refreshTokens.tokenHash})`;
  const deleting = queries.delete(refreshTokens).where(and(sql`${key} IN ${found}`, expired));
  return (await deleting.returning({ tenant: refreshTokens.tenantId })).length;
};

/** Only sessions without refresh tokens: a cascade must not delete thousands of rows in a batch. */
export const purgeSessions: Batch<{ readonly expiredMs: number }> = async (
  queries,
  { expiredMs },
  max,
) => {
  const token = queries
    .select({ tenant: refreshTokens.tenantId })
    .from(refreshTokens)
    .where(
      and(
        eq(refreshTokens.tenantId, sessions.tenantId),
        eq(refreshTokens.sessionId, sessions.sessionId),
      ),
    );
  const expired = lte(sessions.idleExpiresAt, new Date(expiredMs));
  const found = queries
    .select({ tenant: sessions.tenantId, session: sessions.sessionId })
    .from(sessions)
    .where(and(expired, notExists(token)))
    .orderBy(asc(sessions.idleExpiresAt))
    .limit(max);
  const key = sql`(${sessions.tenantId}, ${sessions.sessionId})`;
  const deleting = queries.delete(sessions).where(and(sql`${key} IN ${found}`, expired));
  return (await deleting.returning({ tenant: sessions.tenantId })).length;
};

/** Those that no longer count: the last failure is too long ago, and any lock has ended. */
export const purgeLoginFailures: Batch<{
  readonly lastFailedMs: number;
  readonly lockedUntilMs: number;
}> = async (queries, { lastFailedMs, lockedUntilMs }, max) => {
  const forgotten = and(
    lte(loginFailures.lastFailedAt, new Date(lastFailedMs)),
    or(isNull(loginFailures.lockedUntil), lte(loginFailures.lockedUntil, new Date(lockedUntilMs))),
  );
  const found = queries
    .select({ tenant: loginFailures.tenantId, login: loginFailures.login })
    .from(loginFailures)
    .where(forgotten)
    .orderBy(asc(loginFailures.lastFailedAt))
    .limit(max);
  const key = sql`(${loginFailures.tenantId}, ${loginFailures.login})`;
  const deleting = queries.delete(loginFailures).where(and(sql`${key} IN ${found}`, forgotten));
  return (await deleting.returning({ tenant: loginFailures.tenantId })).length;
};

/** Never one that is not published yet, however old. */
export const purgeRevocations: Batch<{ readonly decidedMs: number }> = async (
  queries,
  { decidedMs },
  max,
) => {
  const old = and(
    // The index on the time begins with the partition.
    eq(revocations.partition, PARTITION),
    lte(revocations.at, new Date(decidedMs)),
    isNotNull(revocations.publishedAt),
  );
  const found = queries
    .select({ tenant: revocations.tenantId, event: revocations.eventId })
    .from(revocations)
    .where(old)
    .orderBy(asc(revocations.at))
    .limit(max);
  const key = sql`(${revocations.tenantId}, ${revocations.eventId})`;
  const deleting = queries.delete(revocations).where(and(sql`${key} IN ${found}`, old));
  return (await deleting.returning({ tenant: revocations.tenantId })).length;
};
