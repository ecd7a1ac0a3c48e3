/** PostgreSQL's own troubles: it hangs, goes away, or its administrator has not let us make roles. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { readdirSync } from "node:fs";
import { sql } from "drizzle-orm";
import { Client } from "pg";

import { takeFreePort } from "../../dev/free-port.js";
import { PostgresServer } from "../../dev/postgres-server.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import { DatabaseError, type Database } from "../../src/sessions/database/database.js";
import { migrationsFolder } from "../../src/sessions/database/migrations-sql.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";

const OPERATOR = { role: "operator" } as const;
/** For a server that hangs: soon enough not to wait for long. */
const IMPATIENT = { queryTimeoutMs: 400 };
/** Less than where nothing is said, with time for the machine to be busy: connecting takes 2000 ms. */
const BOUND_MS = 6500;
/** For states that come by themselves; far longer than any of them takes. */
const UNTIL_MS = 30_000;

let server: PostgresServer;
let url: string;
const others: Database[] = [];
beforeAll(async () => {
  server = await PostgresServer.start();
  url = await server.createDatabase();
  await open().migrate();
});
afterEach(async () => {
  server.resume();
  await Promise.all(others.splice(0).map((one) => one.close()));
});
afterAll(async () => {
  await server.close();
});

type Options = Partial<Parameters<typeof openPostgres>[0]>;

function open(options: Options = {}): Database {
  const opened = openPostgres({ url, poolMax: 2, ...options });
  others.push(opened);
  return opened;
}

const count = (one: Database) =>
  one.transaction(OPERATOR, (queries) => queries.execute(sql`SELECT 1 FROM sekisho.tenants`));

/** Until it serves: an impatient one may take a moment in which the machine stood still for a fault. */
async function untilServed(one: Database): Promise<void> {
  const served = () =>
    count(one).then(
      () => true,
      () => false,
    );
  await waitUntil(served, { what: "a transaction succeeds", timeoutMs: UNTIL_MS });
}

/** The DatabaseError that it ends with, and that it does so in time. */
async function faultInTime(act: Promise<unknown>): Promise<DatabaseError> {
  const began = performance.now();
  const error = await fault(act);
  expect(performance.now() - began).toBeLessThan(BOUND_MS);
  return error;
}

/** The DatabaseError that it ends with. */
async function fault(act: Promise<unknown>): Promise<DatabaseError> {
  const error: unknown = await act.then(
    () => new Error("no error"),
    (caught: unknown) => caught,
  );
  if (error instanceof DatabaseError) return error;
  throw new Error(`not a DatabaseError: ${String(error)}`);
}

describe("a server that hangs", () => {
  test("is unavailable within bounds, on old and on new connections, and well again after", async () => {
    const one = open(IMPATIENT);
    await untilServed(one);
    server.pause();
    expect((await faultInTime(count(one))).code).toBe("unavailable");
    expect((await faultInTime(count(one))).code).toBe("unavailable");
    expect((await faultInTime(one.ping())).code).toBe("unavailable");
    expect((await faultInTime(one.tryLock("relay"))).code).toBe("unavailable");
    server.resume();
    await untilServed(one);
    expect(one.pool.inUse).toBe(0);
  });

  test("leaves it unknown whether a commit has happened, and the error says so", async () => {
    // Everything before the pause must have been answered in time.
    const one = open({ queryTimeoutMs: 2000 });
    await untilServed(one);
    const act = one.transaction(OPERATOR, async (queries) => {
      await queries.execute(sql`SELECT 1`);
      server.pause();
    });
    expect(await faultInTime(act)).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("unknown whether the transaction was committed"),
    });
  });

  test("does not keep us from closing, nor from giving a lock back", async () => {
    const one = open();
    await count(one);
    const lock = await one.tryLock("relay");
    expect(lock).toBeDefined();
    server.pause();
    const began = performance.now();
    expect(await lock?.confirm()).toBe(false);
    await lock?.release();
    await one.close();
    expect(performance.now() - began).toBeLessThan(BOUND_MS);
  });
});

test("a server that was killed is unavailable, and well again when it is back", async () => {
  const one = open();
  await count(one);
  await server.kill();
  expect((await faultInTime(count(one))).code).toBe("unavailable");
  expect((await faultInTime(one.migrate())).code).toBe("unavailable");
  await server.restart();
  await untilServed(one);
});

describe("connections", () => {
  test("are bounded, and so are the wait for one and how many wait", async () => {
    const one = open({ poolMax: 1, waitingMax: 1 });
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    let holding = false;
    const holder = one.transaction(OPERATOR, async (queries) => {
      await queries.execute(sql`SELECT 1`);
      holding = true;
      await held;
    });
    await waitUntil(() => holding, { what: "the one connection is in use", timeoutMs: UNTIL_MS });
    const waiting = faultInTime(count(one));
    expect(one.pool.waiting).toBe(1);
    expect((await fault(count(one))).code).toBe("unavailable");
    // At once, while the other one still waits.
    expect(one.pool.waiting).toBe(1);
    expect((await waiting).code).toBe("unavailable");
    letGo();
    await holder;
    await count(one);
    expect(one.pool).toEqual({ max: 1, inUse: 0, idle: 1, waiting: 0 });
  });

  test("that the server ends between two queries are noticed at the next", async () => {
    const one = open({ poolMax: 1 });
    const act = one.transaction(OPERATOR, async (queries) => {
      await queries.execute(sql`SELECT 1`);
      await server.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'sekisho'",
      );
      await queries.execute(sql`SELECT 2`);
    });
    expect((await fault(act)).code).toBe("unavailable");
    await count(one);
  });

  test("that the server ends are replaced", async () => {
    const one = open({ poolMax: 1 });
    await count(one);
    const act = one.transaction(OPERATOR, async (queries) => {
      await queries.execute(sql`SELECT set_config('role', 'none', true)`);
      await queries.execute(sql`SELECT pg_terminate_backend(pg_backend_pid())`);
    });
    expect((await fault(act)).code).toBe("unavailable");
    await count(one);
  });
});

test("a lock goes to the next when its holder's connection dies, and the holder can tell", async () => {
  const [one, other] = [open(), open()];
  const lock = await one.tryLock("relay");
  expect(await other.tryLock("relay")).toBeUndefined();
  await server.query(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted",
  );
  await waitUntil(async () => (await lock?.confirm()) === false, {
    what: "the holder knows",
    timeoutMs: UNTIL_MS,
  });
  // The server tells the holder before it gives the lock back.
  const next = await waitFor(() => other.tryLock("relay"), {
    what: "the lock",
    timeoutMs: UNTIL_MS,
  });
  expect(await next.confirm()).toBe(true);
  await next.release();
});

describe("migrations", () => {
  test("of several programs at once on a new database are applied once", async () => {
    const fresh = await server.createDatabase();
    const programs = Array.from({ length: 4 }, () => open({ url: fresh }));
    await Promise.all(programs.map((program) => program.migrate()));
    const applied = await server.query("SELECT 1 FROM sekisho_migrations.applied", {
      database: new URL(fresh).pathname.slice(1),
    });
    const files = readdirSync(migrationsFolder()).filter((name) => name.endsWith(".sql"));
    expect(applied).toHaveLength(files.length);
    await Promise.all(programs.map(count));
  });

  test("tell what an administrator has to run where the roles cannot be made or taken", async () => {
    await server.query("CREATE ROLE plain LOGIN");
    await server.query("CREATE DATABASE plain OWNER plain");
    const plain = open({ url: server.url("plain", "plain") });
    const error = await fault(plain.migrate());
    expect(error.code).toBe("not_allowed");
    const statements = /run this once: (.+)$/.exec(error.message)?.[1] ?? "";
    // They are there already, made by this server's other user of Sekisho.
    expect(statements).toBe(
      'GRANT sekisho_tenant, sekisho_operator, sekisho_relay, sekisho_keys, sekisho_purge, sekisho_recovery TO "plain";',
    );
    await server.query(statements);
    await plain.migrate();
    await count(plain);
  });

  test("tell how to make the roles on a server that has none of them", async () => {
    const bare = await PostgresServer.start();
    try {
      await bare.query("CREATE ROLE plain LOGIN");
      await bare.query("CREATE DATABASE plain OWNER plain");
      const plain = open({ url: bare.url("plain", "plain") });
      const { message } = await fault(plain.migrate());
      expect(message).toContain("CREATE ROLE sekisho_recovery NOLOGIN; GRANT sekisho_tenant,");
      await bare.query(/run this once: (.+)$/.exec(message)?.[1] ?? "");
      await plain.migrate();
      await count(plain);
      await plain.close();
    } finally {
      await bare.close();
    }
  });
});

test("a connection on which no tenant was ever set shows nothing to the tenants' role", async () => {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("SET ROLE sekisho_tenant");
    const { rows } = await client.query("SELECT current_setting('sekisho.tenant', true) AS tenant");
    expect(rows).toEqual([{ tenant: null }]);
    expect((await client.query("SELECT 1 FROM sekisho.tenants")).rows).toEqual([]);
  } finally {
    await client.end();
  }
});

describe("what the URL says", () => {
  test("about TLS is done, not ignored", async () => {
    const one = open({ url: `${url}&sslmode=verify-full` });
    expect(await fault(count(one))).toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("does not support SSL"),
    });
  });

  test("as a password is in no error", async () => {
    const port = await takeFreePort();
    const folder = encodeURIComponent(server.folder);
    const urls = [
      `postgres://sekisho:hunter2@127.0.0.1:${port}/sekisho`,
      `postgres://nobody-there:hunter2@localhost/sekisho?host=${folder}`,
      `postgres://sekisho:hunter2@localhost/not-there?host=${folder}`,
    ];
    for (const wrong of urls) {
      const one = open({ url: wrong });
      const acts = [
        () => count(one),
        () => one.migrate(),
        () => one.ping(),
        () => one.tryLock("relay"),
      ];
      for (const act of acts) {
        const error = await fault(act());
        expect(error.code).toBe("unavailable");
        expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("hunter2");
      }
    }
  });
});
