/** What src/sessions/database/database.ts promises, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eq, sql } from "drizzle-orm";

import { DatabaseError, type Database } from "../../src/sessions/database/database.js";
import type { Scope } from "../../src/sessions/database/scope.js";
import { refreshTokens, tenants, users } from "../../src/sessions/database/schema-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { asOwner, rowsOf } from "../support/row-security.js";

const OPERATOR: Scope = { role: "operator" };
const AT = new Date(1_800_000_000_000);

const tenantRow = (tenantId: string) => ({ tenantId, name: `Tenant ${tenantId}`, createdAt: AT });
const userRow = (tenantId: string, userId: string) => ({
  tenantId,
  userId,
  login: userId,
  role: "user" as const,
  createdAt: AT,
});

async function addTenant(database: Database, tenantId: string): Promise<Scope> {
  await database.transaction(OPERATOR, async (queries) => {
    await queries.insert(tenants).values(tenantRow(tenantId));
  });
  return { role: "tenant", tenant: tenantId };
}

const tenantIds = (database: Database) =>
  database.transaction(OPERATOR, async (queries) => {
    const rows = await queries.select({ id: tenants.tenantId }).from(tenants);
    return rows.map(({ id }) => id);
  });

/** The DatabaseError that it rejects with, as a value to compare. */
async function fault(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    () => "no error",
    (error: unknown) => {
      if (!(error instanceof DatabaseError)) return error;
      const { code, constraint } = error;
      return constraint === undefined ? { code } : { code, constraint };
    },
  );
}

describe.each(DATABASES)("$name", ({ start }) => {
  let started: StartedDatabase;
  let database: Database;
  beforeAll(async () => {
    started = await start();
    ({ database } = started);
  });
  afterAll(async () => {
    await started.stop();
  });

  test("does all of a transaction or nothing", async () => {
    const mistake = new Error("changed its mind");
    const act = database.transaction(OPERATOR, async (queries) => {
      await queries.insert(tenants).values(tenantRow("half"));
      throw mistake;
    });
    await expect(act).rejects.toBe(mistake);
    expect(await tenantIds(database)).not.toContain("half");
  });

  test("does not say that it committed where a query had failed unnoticed", async () => {
    const act = database.transaction(OPERATOR, async (queries) => {
      await queries.insert(tenants).values(tenantRow("unnoticed"));
      await queries
        .insert(tenants)
        .values(tenantRow("unnoticed"))
        .catch(() => undefined);
    });
    expect(await fault(act)).toEqual({ code: "unexpected" });
    expect(await tenantIds(database)).not.toContain("unnoticed");
  });

  test("gives tenant and role back with the end of the transaction, also after an error", async () => {
    const scope = await addTenant(database, "left-over");
    const seen = () =>
      database.transaction(OPERATOR, async (queries) => {
        const { rows } = await queries
          .select({
            tenant: sql<string>`current_setting('sekisho.tenant', true)`,
            role: sql<string>`current_user::text`,
          })
          .from(sql`(SELECT 1) AS one`)
          .then((found) => ({ rows: found }));
        return rows[0];
      });
    await database.transaction(scope, async (queries) => {
      expect(await queries.select().from(tenants)).toHaveLength(1);
    });
    expect(await seen()).toEqual({ tenant: "", role: "sekisho_operator" });
    await fault(database.transaction(scope, (queries) => queries.execute(sql`SELECT 1 / 0`)));
    expect(await seen()).toEqual({ tenant: "", role: "sekisho_operator" });
    const outside = new Error("outside");
    await fault(database.transaction(scope, () => Promise.reject(outside)));
    expect(await seen()).toEqual({ tenant: "", role: "sekisho_operator" });
  });

  test("answers nothing to work that goes on after its transaction", async () => {
    const scope = await addTenant(database, "late");
    let ask: (() => Promise<unknown>) | undefined;
    await database.transaction(scope, async (queries) => {
      ask = () => queries.select().from(tenants).execute();
      await ask();
    });
    await expect(ask?.()).rejects.toThrow();
  });

  test("names the rule that a second row with the same key breaks", async () => {
    const scope = await addTenant(database, "unique");
    const add = (userId: string, login: string) =>
      database.transaction(scope, async (queries) => {
        await queries.insert(users).values({ ...userRow("unique", userId), login });
      });
    await add("ann", "ann@example.com");
    expect(await fault(add("ann", "other"))).toEqual({ code: "unique", constraint: "users_pkey" });
    expect(await fault(add("bob", "ann@example.com"))).toEqual({
      code: "unique",
      constraint: "users_tenant_id_login_key",
    });
  });

  test("tells a reference to nothing", async () => {
    const scope: Scope = { role: "tenant", tenant: "nobody-made-it" };
    const act = database.transaction(scope, async (queries) => {
      await queries.insert(users).values(userRow("nobody-made-it", "ann"));
    });
    expect(await fault(act)).toEqual({
      code: "missing_reference",
      constraint: "users_tenant_id_fkey",
    });
  });

  test("tells what the role may not do", async () => {
    const act = database.transaction({ role: "keys" }, async (queries) => {
      await queries.select().from(users);
    });
    expect(await fault(act)).toEqual({ code: "not_allowed" });
  });

  test("keeps what it was given out of its errors", async () => {
    const scope = await addTenant(database, "secretive");
    const secret = new Uint8Array(31).fill(0xab);
    const act = database.transaction(scope, async (queries) => {
      await queries.insert(refreshTokens).values({
        tenantId: "secretive",
        tokenHash: secret,
        sessionId: "hidden-session",
        generation: 1,
        retries: 0,
        successorUsed: false,
        issuedAt: AT,
        expiresAt: AT,
      });
    });
    const error: unknown = await act.catch((caught: unknown) => caught);
    const shown = `${JSON.stringify(error, Object.getOwnPropertyNames(error))} ${String(error)}`;
    expect(shown).toContain("refresh_tokens_token_hash_check");
    expect(shown).not.toMatch(/abab|171,171|hidden-session/);
  });

  test("runs transactions that wait for each other's rows one after the other", async () => {
    const scope = await addTenant(database, "racing");
    await database.transaction(scope, async (queries) => {
      await queries.insert(users).values(userRow("racing", "ann"));
    });
    const raise = () =>
      database.transaction(scope, async (queries) => {
        const [found] = await queries
          .select({ epoch: users.userEpoch })
          .from(users)
          .where(eq(users.userId, "ann"))
          .for("update");
        await queries.update(users).set({ userEpoch: (found?.epoch ?? 0) + 1 });
      });
    await Promise.all(Array.from({ length: 40 }, raise));
    const [found] = await database.transaction(scope, (queries) => queries.select().from(users));
    expect(found?.userEpoch).toBe(40);
    expect(database.pool).toMatchObject({ inUse: 0, waiting: 0 });
  });

  test("gives a lock to one at a time", async () => {
    const first = await database.tryLock("relay");
    expect(await first?.confirm()).toBe(true);
    expect(await database.tryLock("relay")).toBeUndefined();
    await first?.release();
    expect(await first?.confirm()).toBe(false);
    const second = await database.tryLock("relay");
    expect(await second?.confirm()).toBe(true);
    // The first one's has been over for long, whoever has it now.
    expect(await first?.confirm()).toBe(false);
    await first?.release();
    expect(await second?.confirm()).toBe(true);
    await second?.release();
  });

  test("changes nothing when it is migrated again, or several times at once", async () => {
    const applied = () =>
      asOwner(database, (queries) =>
        rowsOf(queries, "SELECT hash, created_at FROM sekisho_migrations.applied"),
      );
    const before = await applied();
    await database.migrate();
    await Promise.all([database.migrate(), database.migrate(), database.migrate()]);
    expect(before.length).toBeGreaterThan(1);
    expect(await applied()).toEqual(before);
  });

  test("refuses tables that a newer program has changed", async () => {
    const raw = (statement: string) => asOwner(database, (queries) => rowsOf(queries, statement));
    await raw(
      "INSERT INTO sekisho_migrations.applied (hash, created_at) VALUES ('newer', 9007199254740991)",
    );
    expect(await fault(database.migrate())).toEqual({ code: "newer_schema" });
    await raw("DELETE FROM sekisho_migrations.applied WHERE hash = 'newer'");
    await database.migrate();
  });

  test("answers a ping with its clock", async () => {
    const before = Date.now();
    const serverMs = await database.ping();
    expect(serverMs).toBeGreaterThan(before - 1);
    expect(serverMs).toBeLessThan(Date.now() + 1);
    expect(database.pool.inUse).toBe(0);
  });

  test("keeps what was committed when it is opened again, and is closed for good", async () => {
    await addTenant(database, "kept");
    const closed = database;
    database = await started.reopen();
    expect(await tenantIds(database)).toContain("kept");
    expect(await fault(closed.ping())).toEqual({ code: "unavailable" });
    expect(await fault(tenantIds(closed))).toEqual({ code: "unavailable" });
    await closed.close();
  });
});
