/** What attacks on row level security need: rows to attack, and statements made from the catalogue. */
import { sql } from "drizzle-orm";
import { z } from "zod";

import { DatabaseError, type Database } from "../../src/sessions/database/database.js";
import type { Scope } from "../../src/sessions/database/scope.js";
import type { Queries } from "../../src/sessions/database/queries-sql.js";
import {
  audit,
  credentials,
  cutOffs,
  loginFailures,
  logRecords,
  refreshTokens,
  revocations,
  sessions,
  signingKeys,
  tenants,
  users,
} from "../../src/sessions/database/schema-sql.js";

const AT = new Date(1_800_000_000_000);

export const ROLES = ["tenant", "operator", "relay", "keys", "purge", "recovery"] as const;
export type Role = (typeof ROLES)[number];

export function scopeOf(role: Role, tenant = ""): Scope {
  return role === "tenant" ? { role, tenant } : { role };
}

/** All rows of a query in raw SQL. */
export async function rowsOf(queries: Queries, statement: string, values: readonly string[] = []) {
  const [first, ...rest] = statement.split("$");
  const chunks = rest.map((text, index) => sql`${values[index]}${sql.raw(text)}`);
  const answer: unknown = await queries.execute(sql.join([sql.raw(first ?? ""), ...chunks]));
  return z.object({ rows: z.array(z.record(z.string(), z.unknown())) }).parse(answer).rows;
}

/** How many rows a raw statement changed or locked, or the code of the error that refused it. */
export async function attempt(
  database: Database,
  scope: Scope,
  statement: string,
): Promise<number | string> {
  try {
    return await database.transaction(scope, async (queries) => {
      return (await rowsOf(queries, statement)).length;
    });
  } catch (error) {
    return error instanceof DatabaseError ? error.code : String(error);
  }
}

/** As the role that the service connects as, which owns the tables. */
export async function asOwner<T>(
  database: Database,
  work: (queries: Queries) => Promise<T>,
): Promise<T> {
  return database.transaction({ role: "operator" }, async (queries) => {
    await queries.execute(sql`SELECT set_config('role', 'none', true)`);
    return work(queries);
  });
}

/** One row in every table that has tenants. */
export async function seedTenant(database: Database, tenantId: string): Promise<void> {
  await database.transaction({ role: "operator" }, async (queries) => {
    await queries.insert(tenants).values({ tenantId, name: tenantId, createdAt: AT });
  });
  const userId = `user-of-${tenantId}`;
  const sessionId = `session-of-${tenantId}`;
  await database.transaction({ role: "tenant", tenant: tenantId }, async (queries) => {
    const user = { tenantId, userId, login: "ann", role: "user" as const, createdAt: AT };
    await queries.insert(users).values(user);
    const credential = { tenantId, userId, passwordHash: "hash", oneTime: false, changedAt: AT };
    await queries.insert(credentials).values(credential);
    await queries.insert(sessions).values({
      tenantId,
      sessionId,
      userId,
      deviceName: "laptop",
      address: "::1",
      createdAt: AT,
      lastUsedAt: AT,
      lastUsedAddress: "::1",
      refreshGeneration: 1,
      idleExpiresAt: AT,
      expiresAt: AT,
      passwordChangeOnly: false,
    });
    const tokenHash = new Uint8Array(32).fill(tenantId.length);
    await queries.insert(refreshTokens).values({
      tenantId,
      tokenHash,
      sessionId,
      generation: 1,
      issuedAt: AT,
      expiresAt: AT,
      retries: 0,
      successorUsed: false,
    });
    await queries.insert(revocations).values({
      tenantId,
      eventId: "00000000-0000-4000-8000-000000000000",
      partition: 0,
      at: AT,
      kind: "session_revoked",
      sessionId,
      userId,
      origin: "service",
    });
    await queries
      .insert(audit)
      .values({ tenantId, at: AT, kind: "seed", outcome: "done", actor: "test" });
    await queries.insert(cutOffs).values({ tenantId, issuedBefore: AT });
    const failures = { tenantId, login: "ann", failures: 1, lastFailedAt: AT };
    await queries.insert(loginFailures).values(failures);
  });
}

/** One row in every table that has none. */
export async function seedShared(database: Database): Promise<void> {
  await database.transaction({ role: "keys" }, async (queries) => {
    await queries.insert(signingKeys).values({
      kid: "kid",
      algorithm: "EdDSA",
      publicJwk: {},
      privateKey: new Uint8Array(1),
      createdAt: AT,
      signsFrom: AT,
      signsUntil: AT,
      publishedUntil: AT,
    });
  });
  await database.transaction({ role: "relay" }, async (queries) => {
    await queries.insert(logRecords).values({ partition: 0, seq: 1 });
  });
}
