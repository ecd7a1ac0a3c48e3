/** A PostgreSQL that takes no writes: demoted behind open connections, or a standby. */
import { randomUUID } from "node:crypto";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";

import { PostgresServer } from "../../dev/postgres-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import type { Queries } from "../../src/sessions/database/queries-sql.js";
import { tenants } from "../../src/sessions/database/schema-sql.js";

const OPERATOR = { role: "operator" } as const;
const POOL_MAX = 3;
const UNTIL_MS = 30_000;
const DATABASE = "sekisho_test";

let parent: string;
let place: string;
let url: string;
let database: Database;
const servers: PostgresServer[] = [];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-ro-"));
  // A name that leads to a server: its folder of sockets by way of a link.
  place = join(parent, "primary");
});
afterEach(async () => {
  await database.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
  await rm(parent, { recursive: true, force: true });
});

async function startServer(): Promise<PostgresServer> {
  // What a standby is made from.
  const server = await PostgresServer.start({ settings: { wal_level: "replica" } });
  servers.push(server);
  const own = await server.createDatabase(DATABASE);
  const migrating = openPostgres({ url: own, poolMax: 2 });
  await migrating.migrate();
  await migrating.close();
  return server;
}

/** From now on new connections lead there. */
async function leadTo(server: PostgresServer): Promise<void> {
  const next = `${place}.next`;
  await symlink(server.folder, next);
  await rename(next, place);
}

async function openAt(server: PostgresServer): Promise<Database> {
  await leadTo(server);
  url = `postgres://sekisho@localhost:5432/${DATABASE}?host=${encodeURIComponent(place)}`;
  database = openPostgres({ url, poolMax: POOL_MAX, connectTimeoutMs: UNTIL_MS });
  return database;
}

/** As a failover leaves a former primary: connections stay, and writes are answered 25006. */
async function setReadOnly(server: PostgresServer, to: "on" | "off"): Promise<void> {
  await server.query(`ALTER SYSTEM SET default_transaction_read_only = ${to}`);
  await server.query("SELECT pg_reload_conf()");
  await waitUntil(
    async () => {
      const [row] = await server.query("SHOW default_transaction_read_only");
      return row?.["default_transaction_read_only"] === to;
    },
    { what: "the setting to be read", timeoutMs: UNTIL_MS },
  );
}

const addTenant = (queries: Queries) => {
  const tenant = { tenantId: randomUUID(), name: "a tenant", createdAt: new Date() };
  return queries.insert(tenants).values(tenant);
};
const write = () => database.transaction(OPERATOR, addTenant);
const read = () =>
  database.transaction(OPERATOR, (queries) => queries.execute(sql`SELECT 1 FROM sekisho.tenants`));
const countTenants = () => database.transaction(OPERATOR, (queries) => queries.$count(tenants));

/** As many transactions at once as there are connections. */
async function fillPool(): Promise<void> {
  let arrived = 0;
  const all = Array.from({ length: POOL_MAX }, () =>
    database.transaction(OPERATOR, async () => {
      arrived += 1;
      await waitUntil(() => arrived === POOL_MAX, { what: "the others", timeoutMs: UNTIL_MS });
    }),
  );
  await Promise.all(all);
  expect(database.pool.idle).toBe(POOL_MAX);
}

const connectionsOf = async (server: PostgresServer): Promise<number> => {
  const [row] = await server.query(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE usename = 'sekisho'",
  );
  return Number(row?.["count"]);
};

const refused = (act: Promise<unknown>) =>
  expect(act).rejects.toThrow("database: the server is read-only");

describe("a primary that is demoted behind open connections", () => {
  test("loses every connection of the pool, without a transaction that fails", async () => {
    const [former, next] = [await startServer(), await startServer()];
    await openAt(former);
    await fillPool();
    expect(await connectionsOf(former)).toBe(POOL_MAX);
    await setReadOnly(former, "on");
    await leadTo(next);
    // Beside the tenant of the operators, which is there from the beginning.
    for (let written = 1; written <= POOL_MAX; written += 1) {
      await write();
      expect(await countTenants()).toBe(1 + written);
    }
    await fillPool();
    await waitUntil(async () => (await connectionsOf(former)) === 0, {
      what: "the old connections to end",
      timeoutMs: UNTIL_MS,
    });
    expect(await connectionsOf(next)).toBe(POOL_MAX);
  });

  test("is passed over by a ping, which finds the next one", async () => {
    const [former, next] = [await startServer(), await startServer()];
    await openAt(former);
    await fillPool();
    await setReadOnly(former, "on");
    await leadTo(next);
    expect(await database.ping()).toBeGreaterThan(0);
    expect(await connectionsOf(next)).toBe(1);
    expect(database.pool).toMatchObject({ inUse: 0, idle: 1 });
  });

  test("is unavailable while there is no other, for reading too, and then serves again", async () => {
    const server = await startServer();
    await openAt(server);
    await fillPool();
    await setReadOnly(server, "on");
    await refused(write());
    await refused(read());
    await refused(database.ping());
    expect(database.pool).toMatchObject({ inUse: 0, idle: 0 });
    await setReadOnly(server, "off");
    await write();
    expect(await database.ping()).toBeGreaterThan(0);
  });

  test("drops the connection on which a transaction finds it read-only", async () => {
    const server = await startServer();
    await openAt(server);
    const turned = database.transaction(OPERATOR, async (queries) => {
      await queries.execute(sql`SET TRANSACTION READ ONLY`);
      await addTenant(queries);
    });
    await expect(turned).rejects.toMatchObject({ code: "unavailable" });
    expect(database.pool).toMatchObject({ inUse: 0, idle: 0 });
  });

  test("gives up the relay's lock, which the next primary gives anew", async () => {
    const [former, next] = [await startServer(), await startServer()];
    await openAt(former);
    const held = await database.tryLock("relay");
    expect(await held?.confirm()).toBe(true);
    await setReadOnly(former, "on");
    expect(await held?.confirm()).toBe(false);
    await held?.release();
    await refused(database.tryLock("relay"));
    await leadTo(next);
    const anew = await database.tryLock("relay");
    expect(await anew?.confirm()).toBe(true);
    await anew?.release();
  });
});

test("a standby serves nothing and gives no lock", async () => {
  const server = await startServer();
  await openAt(server);
  await write();
  // A server that finds this file recovers, and goes on recovering until it is promoted.
  await writeFile(join(server.folder, "data", "standby.signal"), "");
  await server.restart();
  const [row] = await server.query("SELECT pg_is_in_recovery() AS standby");
  expect(row).toEqual({ standby: true });
  await refused(read());
  await refused(database.ping());
  await refused(database.tryLock("relay"));
  await server.query("SELECT pg_promote()");
  await write();
  const lock = await database.tryLock("relay");
  expect(await lock?.confirm()).toBe(true);
  await lock?.release();
});
