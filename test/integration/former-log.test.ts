/** A log that is left for one in another Redis: what receipts say of its nodes, and how it is retired. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { KnownNodesReader } from "../../src/sessions/outbox/known-nodes.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import { ReceiptCollector, type Receipt } from "../../src/revocation-log/receipt.js";
import { endOf, follow, initLog, KEYS, publish, redis } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { emptyTables, rows, seeLog, startRelaying, type Relaying } from "../support/relaying.js";
import { sekisho } from "../support/sekisho-command.js";

let postgres: PostgresServer;
let databaseUrl: string;
let database: Database;
let former: RedisServer;
let current: RedisServer;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  [postgres, former, current] = await Promise.all([
    PostgresServer.start(),
    RedisServer.start(),
    RedisServer.start(),
  ]);
  databaseUrl = await postgres.createDatabase();
  database = openPostgres({ url: databaseUrl, poolMax: 10 });
  await database.migrate();
});
beforeEach(async () => {
  await emptyTables(database);
  for (const { url } of [former, current]) await redis(url, "FLUSHALL");
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await database.close();
  await Promise.all([postgres.close(), former.close(), current.close()]);
});

async function relayOn({ url }: RedisServer): Promise<Relaying> {
  const relaying = startRelaying({ database, url });
  closing.push(relaying.close);
  await relaying.untilRestored(1);
  return relaying;
}
async function nodeOn({ url }: RedisServer, name: string) {
  const following = follow(url, { groupPrefix: `${name}:abc123` });
  closing.push(() => following.follower.close());
  await following.untilFresh();
  return following;
}
const knownNodes = async (): Promise<readonly unknown[]> =>
  (await rows(database, "relay", sql`SELECT node FROM sekisho.log_nodes ORDER BY node`)).map(
    ({ node }) => node,
  );
const inFormerLogs = async (): Promise<number> =>
  (
    await rows(
      database,
      "relay",
      sql`SELECT 1 FROM sekisho.log_nodes AS one JOIN sekisho.log_records AS record
          ON one.partition = record.partition AND one.generation <> record.generation`,
    )
  ).length;
/** A receipt for the last entry of the log in the current Redis. */
async function receipt(waitMs: number): Promise<Receipt> {
  const rowsThere = new RedisNodeRows(patientConnections(current.url), KEYS);
  const parts = { database, clock: systemClock, rows: rowsThere };
  try {
    const receipts = new ReceiptCollector(new KnownNodesReader(parts), systemClock);
    return await receipts.waitFor((await seeLog(current.url)).meta, waitMs);
  } finally {
    rowsThere.close();
  }
}
/** Two nodes on the former Redis; then the service moves, and the first of them with it. */
async function moved(): Promise<void> {
  const before = await relayOn(former);
  await nodeOn(former, "node-1");
  await nodeOn(former, "node-2");
  await before.until("both to be known", async () => (await knownNodes()).length === 2);
  await before.close();
  const after = await relayOn(current);
  await nodeOn(current, "node-1");
  await after.until("the first to be known there", async () => (await inFormerLogs()) === 1);
}
const ask = (args: readonly string[], settings: Record<string, string> = {}) =>
  sekisho(["log", ...args], { SEKISHO_REDIS_URL: former.url, ...settings });
const retire = (...more: string[]) =>
  ask(["retire", ...more], { SEKISHO_DATABASE_URL: databaseUrl });
const retiredAt = () => redis(former.url, "HGET", KEYS.meta, "retired_at");

describe("the receipt after a move to another Redis", () => {
  it("names the node that still follows the former log as pending, until it joins", async () => {
    await moved();
    const told = { node: "node-2", maxStalenessMs: 1000, onStale: "deny", reason: "former_log" };
    const first = await receipt(200);
    expect(first.applied).toMatchObject([{ node: "node-1" }]);
    expect(first.pending).toEqual([told]);
    await nodeOn(current, "node-2");
    expect((await receipt(10_000)).applied).toHaveLength(2);
    expect((await receipt(10_000)).pending).toEqual([]);
  });

  it("counts that node as silent once the former log is retired", async () => {
    await moved();
    expect((await retire()).code).toBe(0);
    const { pending, silent } = await receipt(200);
    expect(pending).toEqual([]);
    expect(silent).toMatchObject([{ node: "node-2", reason: "former_log" }]);
  });

  it("counts it so where the former Redis is lost, and an operator says so", async () => {
    await moved();
    const { code, out } = await retire("--lost");
    expect(code).toBe(0);
    expect(out).toContain(" 1 nodes of former logs ");
    expect((await receipt(200)).pending).toEqual([]);
    expect(await retiredAt()).toBeNull();
  });

  it("does not name a node that left the former log before", async () => {
    const before = await relayOn(former);
    const gone = await nodeOn(former, "node-3");
    await before.until("it to be known", async () => (await knownNodes()).length === 1);
    await gone.follower.close();
    await before.until("it to be forgotten", async () => (await knownNodes()).length === 0);
    await before.close();
    await relayOn(current);
    expect(await receipt(200)).toEqual({ applied: [], pending: [], silent: [] });
  });

  it("does not name a node for longer than a day", async () => {
    await moved();
    await database.transaction({ role: "relay" }, (queries) =>
      queries.execute(
        sql`UPDATE sekisho.log_nodes SET seen_at = now() - interval '24 hours 1 second'
            WHERE node = 'node-2'`,
      ),
    );
    expect((await receipt(200)).pending).toEqual([]);
  });
});

describe("log retire", () => {
  it("refuses the log that the database names, unless forced; it then closes it", async () => {
    const relaying = await relayOn(former);
    const { code, out, err } = await retire();
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(
      /^sekisho log retire: nothing was changed: this is the log that the database/,
    );
    expect(err).toContain("stop every instance");
    expect(await retiredAt()).toBeNull();
    const forced = await retire("--force");
    expect(forced.code).toBe(0);
    expect(forced.out).toMatch(/^Retired the log\./);
    expect(forced.err).toContain("A session service stamped this log");
    await relaying.until("the relay", () => relaying.problems.at(-1) === "log_retired");
    const again = await retire("--force");
    expect(again).toMatchObject({ code: 0, out: expect.stringContaining("already retired") });
  });

  it("refuses where the database cannot be asked, and says how it can", async () => {
    await (await relayOn(former)).close();
    const unset = await ask(["retire"]);
    expect([unset.code, unset.out]).toEqual([1, ""]);
    expect(unset.err).toContain(
      "set SEKISHO_DATABASE_URL or SEKISHO_DATA_DIR, or SEKISHO_SESSIONS",
    );
    const away = await ask(["retire"], {
      SEKISHO_DATABASE_URL: "postgres://sekisho:hunter2@127.0.0.1:1/x",
    });
    expect([away.code, away.out]).toEqual([1, ""]);
    expect(away.err).toContain("which log the database names is unknown");
    expect(away.err).not.toContain("hunter2");
    const folder = await ask(["retire"], { SEKISHO_DATA_DIR: "/nonexistent/data" });
    expect(folder.code).toBe(1);
    expect(folder.err).toContain("there is no folder /nonexistent/data");
    expect(await retiredAt()).toBeNull();
    const forced = await ask(["retire", "--force"]);
    expect(forced.code).toBe(0);
    expect(forced.err).toContain("This was not recorded in the database");
  });

  it("asks for --force where no database stands behind the log", async () => {
    await initLog(former.url);
    const { code, err } = await ask(["retire"]);
    expect(code).toBe(1);
    expect(err).toContain("its authority is `redis`");
    expect((await ask(["retire", "--force"])).code).toBe(0);
    expect(await publish(former.url, endOf("s"))).toMatchObject({
      published: false,
      code: "log_retired",
    });
    expect((await ask(["retire", "--undo"])).code).toBe(1);
    expect(await ask(["retire", "--undo", "--force"])).toMatchObject({ code: 0, err: "" });
    expect(await publish(former.url, endOf("s"))).toMatchObject({ published: true });
  });

  it("--undo opens only the log that the database names, unless forced", async () => {
    await moved();
    await retire();
    const { code, err } = await retire("--undo");
    expect(code).toBe(1);
    expect(err).toContain("the database names another log");
    expect(await retiredAt()).not.toBeNull();
    expect((await retire("--undo", "--force")).code).toBe(0);
    expect(await retiredAt()).toBeNull();
    expect((await receipt(200)).pending).toMatchObject([{ node: "node-2" }]);
  });

  it("leaves a log alone that is not there, or is being restored", async () => {
    const none = await retire();
    expect([none.code, none.err]).toEqual([
      1,
      "sekisho log retire: nothing was changed: there is no revocation log in this Redis.\n",
    ]);
    await (await relayOn(former)).close();
    await redis(former.url, "HSET", KEYS.meta, "restoring", "marker");
    const { code, err } = await retire("--force");
    expect(code).toBe(1);
    expect(err).toContain("a restore of this log has not finished");
    expect(await retiredAt()).toBeNull();
  });

  it("does not take --lost together with the others", async () => {
    expect((await retire("--lost", "--undo")).code).toBe(2);
    expect((await retire("--lost", "--force")).code).toBe(2);
    const { code, err } = await ask(["retire", "--lost"]);
    expect([code, err]).toEqual([
      1,
      "sekisho log retire: nothing was changed: set SEKISHO_DATABASE_URL or SEKISHO_DATA_DIR.\n",
    ]);
  });

  it("is told by `log init`, which leaves the log as it is unless it is to replace it", async () => {
    await initLog(former.url);
    await ask(["retire", "--force"]);
    const before = await seeLog(former.url);
    const { code, out, err } = await ask(["init"], { SEKISHO_MAX_TOKEN_LIFETIME_S: "5000" });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho log init: the log in this Redis was retired at \d{4}-/);
    expect((await seeLog(former.url)).meta).toEqual(before.meta);
    expect((await ask(["init", "--replace"])).code).toBe(0);
    expect((await seeLog(former.url)).meta.retiredAtMs).toBeUndefined();
  });

  it("is told by `nodes`, and so is when the log was kept", async () => {
    await (await relayOn(former)).close();
    const nodes = (...more: string[]) =>
      sekisho(["nodes", ...more], { SEKISHO_REDIS_URL: former.url });
    expect((await nodes()).out).toMatch(
      /^no node follows this log\nthe log was last kept \d+ ms ago/,
    );
    const json: unknown = JSON.parse((await nodes("--json")).out);
    expect(json).toMatchObject({ log: { kept_ms_ago: expect.any(Number) } });
    await retire("--force");
    expect((await nodes()).out).toMatch(/\nthe log was retired \d+ ms ago: no node follows it\n$/);
    const then: unknown = JSON.parse((await nodes("--json")).out);
    expect(then).toMatchObject({ log: { retired_ms_ago: expect.any(Number) } });
  });
});
