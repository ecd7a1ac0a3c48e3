import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "pg";

import type { PostgresServerOptions } from "../../../dev/postgres-cluster.js";
import { childrenOf } from "../../../dev/process-children.js";
import { PostgresServer, SERVICE_ROLE } from "../../../dev/postgres-server.js";
import { waitUntil } from "../../../dev/wait-for.js";

let folder: string;
/** For tests that leave it running. */
let shared: PostgresServer;
beforeAll(async () => {
  shared = await PostgresServer.start({ settings: { max_connections: "20" } });
  folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
  await chmod(folder, 0o711);
});
afterAll(async () => {
  await shared.close();
  await rm(folder, { recursive: true, force: true });
});

const servers: PostgresServer[] = [];
const clients: Client[] = [];

async function start(options?: PostgresServerOptions): Promise<PostgresServer> {
  const server = await PostgresServer.start(options);
  servers.push(server);
  return server;
}

async function connectTo(url: string, timeoutMs = 10_000): Promise<Client> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: timeoutMs });
  // These tests end servers under their clients.
  client.on("error", () => undefined);
  await client.connect();
  clients.push(client);
  return client;
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()));
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** The server's process and all that it has started. */
function processesOf(server: PostgresServer): readonly number[] {
  if (server.pid === undefined) throw new Error("the server does not run");
  return [server.pid, ...childrenOf(server.pid)];
}

/** False for one that has ended and waits to be collected, where the system tells. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !["Z", "X"].includes(stateOf(pid) ?? "");
  } catch {
    return false;
  }
}

/** A letter, T: stopped by a signal; undefined where the system does not tell. */
function stateOf(pid: number): string | undefined {
  if (process.platform !== "linux") return undefined;
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  return text.charAt(text.lastIndexOf(")") + 2);
}

/** The id of the segment of System V shared memory that it has taken. */
function segmentOf(server: PostgresServer): string {
  const lines = readFileSync(join(server.folder, "data", "postmaster.pid"), "utf8").split("\n");
  return lines[6]?.trim().split(/\s+/)[1] ?? "";
}

/** The ids of all segments, as far as the system tells. */
function segments(): readonly string[] | undefined {
  if (process.platform !== "linux") return undefined;
  const [, ...rows] = readFileSync("/proc/sysvipc/shm", "utf8").trim().split("\n");
  return rows.map((row) => row.trim().split(/\s+/)[1] ?? "");
}

describe("a PostgreSQL server for tests", () => {
  test("is reached as an ordinary role that owns its database", async () => {
    const client = await connectTo(await shared.createDatabase());
    const { rows } = await client.query(
      `SELECT current_user::text AS role, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole
         FROM pg_roles WHERE rolname = current_user`,
    );
    expect(rows).toEqual([
      {
        role: SERVICE_ROLE,
        rolsuper: false,
        rolbypassrls: false,
        rolcreatedb: false,
        rolcreaterole: true,
      },
    ]);
    await client.query("CREATE TABLE kept (value int)");
    await expect(client.query("CREATE DATABASE more")).rejects.toThrow(/permission denied/);
  });

  test("makes databases that know nothing of each other", async () => {
    const [first, second] = [await shared.createDatabase(), await shared.createDatabase()];
    await (await connectTo(first)).query("CREATE TABLE kept (value int)");
    const elsewhere = await connectTo(second);
    await expect(elsewhere.query("SELECT * FROM kept")).rejects.toThrow(/does not exist/);
    const named = await connectTo(await shared.createDatabase("of-my-choice"));
    expect((await named.query("SELECT current_database()::text AS name")).rows).toEqual([
      { name: "of-my-choice" },
    ]);
  });

  test("keeps text in UTF-8 and compares it byte for byte", async () => {
    expect(
      await shared.query(`SELECT getdatabaseencoding()::text AS encoding, 'B' < 'a' AS bytewise`),
    ).toEqual([{ encoding: "UTF8", bytewise: true }]);
  });

  test("answers the superuser in any database, with values, and tells what was wrong", async () => {
    await shared.createDatabase("one");
    const sql = "SELECT current_user::text AS role, current_database()::text AS db, $1::int AS n";
    expect(await shared.query(sql, { values: [7], database: "one" })).toEqual([
      { role: "postgres", db: "one", n: 7 },
    ]);
    expect(await shared.query("SHOW max_connections")).toEqual([{ max_connections: "20" }]);
    await expect(shared.query("SELECT nothing")).rejects.toThrow(/column "nothing"/);
  });

  test("listens on nothing but a socket in a folder that is closed to others", async () => {
    expect(await shared.query("SHOW listen_addresses")).toEqual([{ listen_addresses: "" }]);
    expect((await stat(shared.folder)).mode & 0o777).toBe(0o700);
    expect(existsSync(join(shared.folder, ".s.PGSQL.5432"))).toBe(true);
  });

  test.each([
    [true, "on"],
    [false, "off"],
  ])("with fsync %j has committed data after it was killed", async (fsync, setting) => {
    const server = await start({ fsync });
    expect(await server.query("SHOW fsync")).toEqual([{ fsync: setting }]);
    const url = await server.createDatabase();
    const client = await connectTo(url);
    await client.query("CREATE TABLE kept (value int)");
    await client.query("INSERT INTO kept VALUES (1)");
    await client.query("BEGIN");
    await client.query("INSERT INTO kept VALUES (2)");
    const processes = processesOf(server);
    expect(processes.length).toBeGreaterThan(3);
    expect(await server.kill()).toEqual({ code: null, signal: "SIGKILL" });
    await waitUntil(() => !processes.some(isRunning), { what: "their end", timeoutMs: 30_000 });
    await expect(connectTo(url)).rejects.toThrow(/ECONNREFUSED|ENOENT/);
    await server.restart();
    const { rows } = await (await connectTo(url)).query("SELECT value FROM kept");
    expect(rows).toEqual([{ value: 1 }]);
  });

  test("has its data after an ordered stop, which no connection can delay", async () => {
    const server = await start();
    const url = await server.createDatabase();
    await (await connectTo(url)).query("CREATE TABLE kept (value int)");
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await server.restart();
    await (await connectTo(url)).query("SELECT value FROM kept");
  });

  test("does not answer while it is paused, and goes on where it was", async () => {
    const server = await start();
    const url = await server.createDatabase();
    const client = await connectTo(url);
    server.pause();
    let answered = false;
    const answer = client.query("SELECT 1 AS one").finally(() => (answered = true));
    const processes = processesOf(server);
    await waitUntil(() => processes.every((pid) => (stateOf(pid) ?? "T") === "T"), {
      what: "all of them to be stopped",
      timeoutMs: 30_000,
    });
    await expect(connectTo(url, 200)).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    server.resume();
    expect((await answer).rows).toEqual([{ one: 1 }]);
  });

  test.each(["is paused", "was killed", "was stopped"])(
    "leaves no process, folder or shared memory when it %s and is closed",
    async (how) => {
      const server = await start({ inFolder: folder });
      await connectTo(await server.createDatabase());
      const [processes, segment] = [processesOf(server), segmentOf(server)];
      expect(segments() ?? [segment]).toContain(segment);
      if (how === "is paused") server.pause();
      if (how === "was killed") await server.kill();
      if (how === "was stopped") await server.stop();
      await server.close();
      await waitUntil(() => !processes.some(isRunning), { what: "their end", timeoutMs: 30_000 });
      expect(await readdir(folder)).toEqual([]);
      expect(segments() ?? []).not.toContain(segment);
    },
  );

  test("says what PostgreSQL said and leaves no folder when it cannot start", async () => {
    const settings = { no_such_setting: "1" };
    await expect(start({ inFolder: folder, settings })).rejects.toThrow(
      /ended \(exit code 1\)[^]*no_such_setting/u,
    );
    expect(await readdir(folder)).toEqual([]);
  });
});
