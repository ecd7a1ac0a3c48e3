import { and, eq } from "drizzle-orm";
import type { Queries } from "../database/queries-sql.js";
import { loginFailures } from "../database/schema-sql.js";
import { afterFailure, lockedForS, type FailureRecord, type LockoutSettings } from "./lockout.js";

/** The name under which failures are counted; there need not be an account with it. */
export interface CountedLogin {
  readonly tenant: string;
  readonly login: string;
}

/** The current row, not locked. For a consistent decision use `lockFailures`. */
export async function readFailures(
  queries: Queries,
  counted: CountedLogin,
): Promise<FailureRecord | undefined> {
  const [row] = await queries.select().from(loginFailures).where(sameLogin(counted));
  return row && recordOf(row);
}

/** Locks the row until the transaction ends. Always after the user's row, if that is locked too. */
export async function lockFailures(
  queries: Queries,
  counted: CountedLogin,
): Promise<FailureRecord | undefined> {
  const query = queries.select().from(loginFailures).where(sameLogin(counted)).for("update");
  const [row] = await query;
  return row && recordOf(row);
}

/**
 * - `counted`: `lockedNow` says whether this failure locked the login.
 * - `locked`: it was locked already, so nothing was counted.
 */
export type FailureCounted =
  | { readonly kind: "counted"; readonly lockedNow: boolean }
  | { readonly kind: "locked"; readonly retryAfterS: number };

/** Counts a failure. Concurrent failures wait for each other, and none is lost. */
export async function countFailure(
  queries: Queries,
  counted: CountedLogin,
  nowMs: number,
  settings: LockoutSettings,
): Promise<FailureCounted> {
  const record = await makeAndLock(queries, counted, nowMs);
  const retryAfterS = lockedForS(record, nowMs);
  if (retryAfterS !== undefined) return { kind: "locked", retryAfterS };
  const { failures, lastFailedAtMs, lockedUntilMs } = afterFailure(record, nowMs, settings);
  await queries
    .update(loginFailures)
    .set({
      failures,
      lastFailedAt: new Date(lastFailedAtMs),
      lockedUntil: lockedUntilMs === undefined ? null : new Date(lockedUntilMs),
    })
    .where(sameLogin(counted));
  return { kind: "counted", lockedNow: lockedUntilMs !== undefined };
}

export async function forgetFailures(queries: Queries, counted: CountedLogin): Promise<void> {
  await queries.delete(loginFailures).where(sameLogin(counted));
}

/**
 * Before the first failure there is no row to lock, so it is created. The update changes nothing.
 */
async function makeAndLock(
  queries: Queries,
  { tenant, login }: CountedLogin,
  nowMs: number,
): Promise<FailureRecord> {
  const [row] = await queries
    .insert(loginFailures)
    .values({ tenantId: tenant, login, failures: 0, lastFailedAt: new Date(nowMs) })
    .onConflictDoUpdate({
      target: [loginFailures.tenantId, loginFailures.login],
      set: { login },
    })
    .returning();
  if (row === undefined) throw new Error("an upsert returned no row");
  return recordOf(row);
}

function sameLogin({ tenant, login }: CountedLogin) {
  return and(eq(loginFailures.tenantId, tenant), eq(loginFailures.login, login));
}

function recordOf(row: typeof loginFailures.$inferSelect): FailureRecord {
  return {
    failures: row.failures,
    lastFailedAtMs: row.lastFailedAt.getTime(),
    lockedUntilMs: row.lockedUntil?.getTime(),
  };
}
