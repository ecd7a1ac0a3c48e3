/** Statements that PostgreSQL has planned for one scope, asked again in another. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { count, sql } from "drizzle-orm";

import { PostgresServer } from "../../dev/postgres-server.js";
import type { Database } from "../../src/sessions/database/database.js";
import type { Scope } from "../../src/sessions/database/scope.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { StatementNames } from "../../src/sessions/database/named-statements-postgres.js";
import { tenants } from "../../src/sessions/database/schema-sql.js";

/** PostgreSQL may keep a plan for good from the sixth time on. */
const TIMES = 8;

let server: PostgresServer;
let database: Database;
beforeAll(async () => {
  server = await PostgresServer.start();
  // Two, so that every statement has been planned on each connection.
  database = openPostgres({ url: await server.createDatabase(), poolMax: 2 });
  await database.migrate();
  await database.transaction({ role: "operator" }, async (queries) => {
    const createdAt = new Date(0);
    const named = (tenantId: string) => ({ tenantId, name: tenantId, createdAt });
    await queries.insert(tenants).values([named("a"), named("b")]);
  });
});
afterAll(async () => {
  await database.close();
  await server.close();
});

const seenBy = (scope: Scope) =>
  database.transaction(scope, (queries) =>
    queries.select({ tenant: tenants.tenantId }).from(tenants).orderBy(tenants.tenantId),
  );

describe("a statement that was planned before", () => {
  test("shows each tenant its own, and an operator everything, in any order", async () => {
    const [a, b] = [{ tenant: "a" }, { tenant: "b" }];
    for (let time = 0; time < TIMES; time += 1) {
      expect(await seenBy({ role: "tenant", tenant: "a" })).toEqual([a]);
      expect(await seenBy({ role: "tenant", tenant: "b" })).toEqual([b]);
      expect(await seenBy({ role: "tenant", tenant: "" })).toEqual([]);
      expect(await seenBy({ role: "operator" })).toEqual(expect.arrayContaining([a, b]));
    }
  });

  test("is refused to a role that may not ask it", async () => {
    const rows = (scope: Scope) =>
      database.transaction(scope, (queries) =>
        queries.execute(sql`SELECT ${count()} FROM sekisho.users`),
      );
    for (let time = 0; time < TIMES; time += 1) {
      await rows({ role: "tenant", tenant: "a" });
      await expect(rows({ role: "operator" })).rejects.toMatchObject({ name: "DatabaseError" });
    }
  });

  test("has a name, by which the server keeps its plan", async () => {
    const kept = await database.transaction({ role: "tenant", tenant: "a" }, async (queries) => {
      await queries.select({ tenant: tenants.tenantId }).from(tenants).orderBy(tenants.tenantId);
      return queries.execute(sql`SELECT name FROM pg_prepared_statements WHERE from_sql = false`);
    });
    expect(JSON.stringify(kept)).toContain("sekisho_");
  });
});

describe("a tenant that is written like SQL", () => {
  test.each(["a'; SELECT 1; --", "a\\", "'", "\\'"])(
    "%j sees nothing and breaks nothing",
    async (tenant) => {
      expect(await seenBy({ role: "tenant", tenant })).toEqual([]);
    },
  );
});

describe("the names of statements", () => {
  test("are the same for the same text only", () => {
    const names = new StatementNames();
    const [one, other] = [names.nameOf("SELECT 1"), names.nameOf("SELECT 2")];
    expect(one).not.toBe(other);
    expect(names.nameOf("SELECT 1")).toBe(one);
    expect(names.nameOf("SELECT 2")).toBe(other);
  });

  test("are bounded in number; what has one keeps it", () => {
    const names = new StatementNames(2);
    const first = names.nameOf("SELECT 1");
    expect(names.nameOf("SELECT 2")).toBeDefined();
    expect(names.nameOf("SELECT 3")).toBeUndefined();
    expect(names.nameOf("SELECT 1")).toBe(first);
  });

  test("are not given to batches", () => {
    expect(new StatementNames().nameOf(`SELECT ${"1, ".repeat(1000)} 1`)).toBeUndefined();
  });
});
