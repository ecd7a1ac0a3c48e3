/**
 * The guarantee with a database and two Redis servers: the service moves from one to the other and
 * back as documented, Redis loses the log, and all the while a second instance's setting may lead to
 * the Redis that the database does not mean.
 */
import { setTimeout as passing } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { systemClock } from "../../src/runtime/clock.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import type { Database } from "../../src/sessions/database/database.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import type { DecidedRevocation } from "../../src/revocation-log/publisher.js";
import { E2eDeployment, type Pod } from "../support/e2e-deployment.js";
import { KEYS, redis } from "../support/following.js";
import { expectGuarantee, faultCount, type Fault, type Random } from "../support/guarantee.js";
import {
  commitEnds,
  databasePublisher,
  startRelaying,
  type Relaying,
} from "../support/relaying.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** How long a node may go on reaching the Redis that was left. */
const FOUND_AFTER_MAX_MS = 3000;

let deployment: E2eDeployment;
let database: Database;
let current: RedisServer;
let other: RedisServer;
let relay: Relaying;
/** Through them the requests of two instances reach Redis. */
let instances: { readonly link: TcpProxy; readonly outbox: LogOutbox }[];
let nodeLinks: TcpProxy[];
let pods: Pod[];

beforeAll(async () => {
  deployment = await E2eDeployment.open({ withoutLog: true });
  const postgres = await deployment.keep(PostgresServer.start(), (one) => one.close());
  const url = await postgres.createDatabase("guarantee");
  database = await deployment.keep(Promise.resolve(openPostgres({ url, poolMax: 10 })), (one) =>
    one.close(),
  );
  await database.migrate();
  current = await deployment.keep(RedisServer.start(), (one) => one.close());
  other = await deployment.keep(RedisServer.start(), (one) => one.close());
  relay = startRelaying({ database, url: current.url });
  await relay.untilRestored(1);
  instances = await Promise.all([1, 2].map(addInstance));
  nodeLinks = await Promise.all([1, 2].map(addLink));
  pods = await Promise.all(
    nodeLinks.map((link, index) => deployment.addPod(`node-${index + 1}`, { redisUrl: link.url })),
  );
});
afterAll(async () => {
  await relay.close();
  await deployment.close();
});

const addLink = (): Promise<TcpProxy> =>
  deployment.keep(TcpProxy.start(current.port), (one) => one.close());

async function addInstance(): Promise<(typeof instances)[number]> {
  const link = await addLink();
  const publisher = databasePublisher(link.url);
  const outbox = new LogOutbox({
    database,
    clock: systemClock,
    publisher,
    receipts: { waitFor: () => Promise.reject(new Error("not waited for")) },
    observer: {
      onPublished: () => undefined,
      onLeft: () => undefined,
      onRecordingFailed: () => undefined,
    },
  });
  await deployment.keep(Promise.resolve(outbox), async (one) => {
    await one.close();
    publisher.close();
  });
  return { link, outbox };
}

function lead(link: TcpProxy, to: RedisServer): void {
  link.leadTo(to.port);
  link.cutConnections();
}

const committed = new Map<string, DecidedRevocation>();

/** Ends the session once, by one instance or the other; later asks whether it is in force by now. */
async function publish(session: string): Promise<{ readonly published: boolean }> {
  const known = committed.get(session);
  const instance = instances[committed.size % instances.length];
  if (instance === undefined) throw new Error("no instance");
  if (known !== undefined) {
    return await instance.outbox.receiptAgain(known, { waitMs: 0, actor: "" });
  }
  const [ended] = await commitEnds(database, session);
  if (ended === undefined) throw new Error("nothing was committed");
  committed.set(session, ended);
  return instance.outbox.publish([ended], 0);
}

/** As the documents say: stop the service, retire the log, start on the other Redis, then the nodes. */
function move(random: Random): Fault {
  const found: Promise<void>[] = [];
  return {
    name: "moved to the other Redis",
    begin: async () => {
      await relay.close();
      for (const { link } of instances) link.cutOff();
      await redis(current.url, "HSET", KEYS.meta, "retired_at", String(Date.now()));
      await redis(other.url, "HDEL", KEYS.meta, "retired_at");
      [current, other] = [other, current];
      relay = startRelaying({ database, url: current.url });
      for (const { link } of instances) {
        lead(link, current);
        link.mend();
      }
      for (const link of nodeLinks) found.push(findAfter(link, random(FOUND_AFTER_MAX_MS)));
    },
    end: async () => {
      await Promise.all(found);
    },
  };
}

async function findAfter(link: TcpProxy, afterMs: number): Promise<void> {
  await passing(afterMs);
  lead(link, current);
}

const misled = (): Fault => ({
  name: "an instance led to the other Redis",
  begin: () => {
    const [, second] = instances;
    if (second !== undefined) lead(second.link, other);
  },
  end: () => {
    const [, second] = instances;
    if (second !== undefined) lead(second.link, current);
  },
});

const lost = (): Fault => ({
  name: "Redis back empty",
  begin: async () => {
    await current.kill();
  },
  end: () => current.restart({ empty: true }),
});

const cut = (random: Random): Fault => {
  const link = nodeLinks[random(nodeLinks.length)];
  return { name: "a node's link hanging", begin: () => link?.hang(), end: () => link?.mend() };
};

describe("the guarantee", () => {
  it("holds while the log moves, is lost, and an instance is led astray", async () => {
    const kinds = [move, misled, lost, cut];
    await expectGuarantee({
      what: "two Redis and a database",
      deployment,
      pods,
      faults: faultCount(6, 30),
      publish,
      next: (random) => (kinds[random(kinds.length)] ?? cut)(random),
      lastsMs: (random) => 300 + random(1500),
      quietMs: (random) => 300 + random(1200),
    });
  }, 300_000);
});
