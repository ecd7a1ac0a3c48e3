/** A PostgreSQL whose standby is promoted without having everything that its primary had. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "@jest/globals";

import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import { DatabaseError, type Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { tenants, users } from "../../src/sessions/database/schema-sql.js";
import type { DecidedRevocation } from "../../src/revocation-log/publisher.js";
import { endEverything } from "../../src/sessions/login/ending-sql.js";
import { databasePublisher, seeLog, startRelaying, type Relaying } from "../support/relaying.js";

const run = promisify(execFile);

const DATABASE = "sekisho_test";
const ANN = { tenant: "acme", user: "ann" };
const IN_ACME = { role: "tenant", tenant: ANN.tenant } as const;
const ACT = { actor: "root", reason: undefined, address: undefined, endedBy: "revoked" };
const TOOLS = { clock: systemClock, newEventId: randomUUID };
const UNTIL_MS = 30_000;

let parent: string;
let place: string;
let redis: RedisServer;
let database: Database;
const servers: PostgresServer[] = [];
const relays: Relaying[] = [];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-fo-"));
  // A name that leads to a server: its folder of sockets by way of a link.
  place = join(parent, "primary");
  redis = await RedisServer.start();
});
afterEach(async () => {
  await Promise.all(relays.splice(0).map((one) => one.close()));
  await database.close();
  await Promise.all([...servers.splice(0), redis].map((server) => server.close()));
  await rm(parent, { recursive: true, force: true });
});

async function startServer(): Promise<PostgresServer> {
  // What a standby is made from.
  const server = await PostgresServer.start({ settings: { wal_level: "replica" } });
  servers.push(server);
  return server;
}

/** From now on new connections lead there. */
async function leadTo(server: PostgresServer): Promise<void> {
  const next = `${place}.next`;
  await symlink(server.folder, next);
  await rename(next, place);
}

/** A primary with tables, a user and a log, and a database that finds it by its name. */
async function startPrimary(): Promise<PostgresServer> {
  const primary = await startServer();
  await primary.createDatabase(DATABASE);
  await leadTo(primary);
  database = openPostgres({
    url: `postgres://sekisho@localhost:5432/${DATABASE}?host=${encodeURIComponent(place)}`,
    poolMax: 3,
    connectTimeoutMs: UNTIL_MS,
  });
  await database.migrate();
  const createdAt = new Date();
  await database.transaction({ role: "operator" }, (queries) =>
    queries.insert(tenants).values({ tenantId: ANN.tenant, name: "Acme", createdAt }),
  );
  await database.transaction(IN_ACME, (queries) =>
    queries.insert(users).values({
      tenantId: ANN.tenant,
      userId: ANN.user,
      login: "ann",
      role: "user",
      createdAt,
    }),
  );
  const relay = startRelay();
  await relay.untilRestored(1);
  await relay.untilNextCycle();
  await relay.close();
  return primary;
}

function startRelay(): Relaying {
  const relay = startRelaying({ database, url: redis.url });
  relays.push(relay);
  return relay;
}

/** A standby that has everything up to now, and from now on receives nothing more. */
async function cutStandby(primary: PostgresServer): Promise<PostgresServer> {
  const standby = await startServer();
  await Promise.all([primary.stop(), standby.stop()]);
  const data = join(standby.folder, "data");
  await rm(data, { recursive: true });
  // With their owner: PostgreSQL refuses files that are not its user's.
  await run("cp", ["-a", join(primary.folder, "data"), data]);
  // A server that finds this file recovers, and goes on recovering until it is promoted.
  await writeFile(join(data, "standby.signal"), "");
  return standby;
}

async function publish(committed: DecidedRevocation): Promise<void> {
  const publisher = databasePublisher(redis.url);
  try {
    expect(await publisher.publish(committed)).toMatchObject({ published: true });
  } finally {
    publisher.close();
  }
}

/** Raises Ann's epoch and publishes that. Returns the new one, or why it was refused. */
async function raiseEpoch(): Promise<number | string | undefined> {
  try {
    const committed = await database.transaction(IN_ACME, (queries) =>
      endEverything(queries, ANN, ACT, TOOLS),
    );
    if (committed?.revocation.kind !== "user_revoked") throw new Error("no such user");
    await publish(committed);
    return committed.revocation.epoch;
  } catch (error) {
    if (error instanceof DatabaseError) return error.code;
    throw error;
  }
}

async function raiseEpochOnceAccepted(): Promise<number | string | undefined> {
  let raised: number | string | undefined;
  await waitUntil(
    async () => {
      raised = await raiseEpoch();
      return typeof raised === "number";
    },
    { what: "an act to be accepted", timeoutMs: UNTIL_MS },
  );
  return raised;
}

async function publishedEpochs(): Promise<readonly unknown[]> {
  const { entries } = await seeLog(redis.url);
  return entries.flatMap((one) =>
    one.kind === "revocation" && one.revocation.kind === "user_revoked"
      ? [one.revocation.epoch]
      : [],
  );
}

it("uses no epoch twice after a failover to a standby that was behind", async () => {
  const primary = await startPrimary();
  const standby = await cutStandby(primary);
  await primary.restart();
  expect(await raiseEpoch()).toBe(1);

  await primary.kill();
  await standby.restart();
  await standby.query("SELECT pg_promote()");
  await leadTo(standby);
  expect(await raiseEpoch()).toBe("failed_over");
  startRelay();
  expect(await raiseEpochOnceAccepted()).toBe(2);
  expect(new Set(await publishedEpochs())).toEqual(new Set([1, 2]));
});

it("goes on at once on the timeline that the log was searched on", async () => {
  await startPrimary();
  expect(await raiseEpoch()).toBe(1);
  expect(await raiseEpoch()).toBe(2);
});

it("revokes on a server that does not tell its timeline", async () => {
  const primary = await startPrimary();
  await primary.query("REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC", {
    database: DATABASE,
  });
  startRelay();
  expect(await raiseEpochOnceAccepted()).toBe(1);
  expect(await raiseEpoch()).toBe(2);
});
