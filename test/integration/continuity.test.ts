/** Nodes that need not read a log again that was restored without loss, and those that have to. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import type { LogAdmin } from "../../src/revocation-log/log-admin.js";
import {
  META_FIELDS,
  parsePrevious,
  PREVIOUS_FIELDS,
} from "../../src/revocation-log/meta-redis.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { RevocationLogError, type RevocationLog } from "../../src/revocation-log/revocation-log.js";
import { momentOf, systemClock } from "../../src/runtime/clock.js";
import { readLogRecord } from "../../src/sessions/outbox/log-record-sql.js";
import { restoreLog } from "../../src/sessions/outbox/restore.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import { markPublished } from "../../src/sessions/outbox/stored-revocations-sql.js";
import { changedKeeper } from "../support/changed-log-admin.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { follow, HORIZON_S, KEYS, redis, REQUIRED, type Following } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import {
  commitEnds,
  databasePublisher,
  emptyTables,
  seeLog,
  startRelaying,
  type Relaying,
  type RelayingOptions,
} from "../support/relaying.js";

let started: StartedDatabase;
let server: RedisServer;
const relays: Relaying[] = [];
const nodes: Following[] = [];

beforeAll(async () => {
  const postgres = DATABASES.find(({ name }) => name === "PostgreSQL");
  if (postgres === undefined) throw new Error("no PostgreSQL");
  [started, server] = await Promise.all([
    postgres.start(),
    RedisServer.start({ appendonly: true }),
  ]);
});
beforeEach(async () => {
  await Promise.all([emptyTables(started.database), redis(server.url, "FLUSHALL")]);
});
afterEach(async () => {
  await Promise.all(nodes.splice(0).map(({ follower }) => follower.close()));
  await Promise.all(relays.splice(0).map((one) => one.close()));
});
afterAll(() => Promise.all([started.stop(), server.close()]));

function relay(change: Partial<RelayingOptions> = {}): Relaying {
  const one = startRelaying({ database: started.database, url: server.url, ...change });
  relays.push(one);
  return one;
}

/** A node that can be cut off from Redis. */
function node(change: Parameters<typeof follow>[1] = {}) {
  const inRedis = revocationLogInRedis(patientConnections(server.url), KEYS, systemClock);
  const cut = { off: false };
  const whileConnected = <T>(ask: () => Promise<T>): Promise<T> =>
    cut.off ? Promise.reject(new RevocationLogError("unavailable", "cut off")) : ask();
  const log: RevocationLog = {
    connect: () =>
      whileConnected(async () => {
        const connection = await inRedis.connect();
        const read = connection.read.bind(connection);
        return Object.assign(connection, {
          read: (...args: Parameters<typeof read>) =>
            whileConnected(async () => {
              const found = await read(...args);
              return whileConnected(() => Promise.resolve(found));
            }),
        });
      }),
  };
  const one = follow(server.url, { log, ...change });
  nodes.push(one);
  const cutOff = async (): Promise<void> => {
    cut.off = true;
    await one.until("the node cut off", ({ follower }) => follower.status().state !== "following");
  };
  return { ...one, cutOff, connect: () => (cut.off = false) };
}
type Node = ReturnType<typeof node>;

/** Publishes as a request does, and waits until the database has recorded where. */
async function end(...sessions: readonly string[]): Promise<void> {
  const committed = await commitEnds(started.database, ...sessions);
  const publisher = databasePublisher(server.url);
  const outbox = new LogOutbox({
    database: started.database,
    clock: systemClock,
    publisher,
    receipts: { waitFor: () => Promise.reject(new Error("no receipt is asked for")) },
    observer: {
      onPublished: () => undefined,
      onLeft: () => undefined,
      onRecordingFailed: () => undefined,
    },
  });
  for (const one of committed) {
    expect(await outbox.publish([one], 0)).toMatchObject({ published: true });
  }
  await outbox.close();
  publisher.close();
}

const untilKnown = (one: Node, ...sessions: readonly string[]) =>
  one.until(sessions.join(), ({ knows }) => sessions.every(knows));

/** Publishes its end as well. */
async function nodeThatApplied(session: string): Promise<Node> {
  const one = node();
  await one.untilFresh();
  await end(session);
  await untilKnown(one, session);
  return one;
}

async function untilAtTheEnd(one: Node): Promise<void> {
  const { generation, seq } = (await seeLog(server.url)).meta;
  await one.until("the end of the log", ({ follower }) => {
    const status = follower.status();
    return status.generation === generation && status.seq === seq;
  });
}

async function restartRedis(): Promise<void> {
  await server.kill();
  await server.restart();
}

async function previousLog() {
  const fields = await redis(server.url, "HMGET", KEYS.meta, ...META_FIELDS, ...PREVIOUS_FIELDS);
  return Array.isArray(fields) ? parsePrevious(fields.slice(META_FIELDS.length)) : undefined;
}

const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** A relay whose log admin does something before one of its steps. */
const relayThat = (change: (logAdmin: LogAdmin) => Partial<LogAdmin>) =>
  relay({ around: (logAdmin) => changedKeeper(logAdmin, change(logAdmin)) });

describe("a node that had applied all of the log", () => {
  it.each([
    ["with its data", {}],
    ["empty", { empty: true }],
  ])(
    "reads nothing again after Redis has come back %s, as often as it does",
    async (_how, back) => {
      const one = relay();
      await one.untilRestored(1);
      const running = node();
      await running.untilFresh();
      const early = names("early", 20);
      await end(...early);
      await untilKnown(running, ...early);
      for (const time of [1, 2, 3]) {
        // The relay may have published them as well, before that was recorded.
        await one.untilNextCycle();
        await untilAtTheEnd(running);
        const applied = running.applied.length;
        await server.kill();
        await commitEnds(started.database, `meanwhile-${time}`);
        await server.restart(back);
        await one.untilRestored(1 + time);
        await untilKnown(running, `meanwhile-${time}`);
        await running.untilFresh();
        expect(running.continued()).toBe(time);
        // The one that was pending, and nothing else.
        expect(running.applied.length).toBe(applied + 1);
        await end(`later-${time}`);
        await untilKnown(running, `later-${time}`);
      }
      expect(running.resyncs).toEqual(["start"]);
      const { generation, seq } = (await seeLog(server.url)).meta;
      expect(running.follower.status()).toMatchObject({ generation, seq });
      // A node that starts now reads what the others need not.
      const late = node();
      await untilKnown(late, ...early, "meanwhile-1", "later-1", "meanwhile-3", "later-3");
    },
  );

  it("misses no revocation that it had not applied and that was marked as published late", async () => {
    // X is acknowledged with the last seq; its mark is committed after the restore has begun.
    let markLate: () => Promise<void> = () => Promise.resolve();
    const one = relayThat((logAdmin) => ({
      clear: async (marker) => {
        await markLate();
        return logAdmin.clear(marker);
      },
    }));
    await one.untilRestored(1);
    const behind = node();
    await behind.untilFresh();
    await end("a", "b");
    await untilKnown(behind, "a", "b");
    await behind.cutOff();
    const [committed] = await commitEnds(started.database, "X");
    if (committed === undefined) throw new Error("nothing was committed");
    await one.until("X published by the relay", () => one.counts.published > 0);
    const { meta } = await seeLog(server.url);
    await server.kill();
    // A cycle that was under way may still record what it found.
    await one.until("the trouble", () => one.problems.at(-1) === "redis_unavailable");
    // As if its mark, and the seq with it, were not recorded yet.
    await started.database.transaction({ role: "relay" }, async (queries) => {
      await queries.execute(sql`UPDATE sekisho.revocations SET published_at = NULL,
        published_generation = NULL, published_seq = NULL WHERE event_id = ${committed.eventId}::uuid`);
      await queries.execute(sql`UPDATE sekisho.log_records SET seq = ${meta.seq - 1}`);
    });
    markLate = () =>
      started.database.transaction({ role: "relay" }, (queries) =>
        markPublished(queries, [{ committed, ...meta }], Date.now()),
      );
    await server.restart({ empty: true });
    await one.untilRestored(2);
    expect(await previousLog()).toMatchObject({ generation: meta.generation, seq: meta.seq - 1 });
    behind.connect();
    await untilAtTheEnd(behind);
    expect({ continued: behind.continued(), knowsX: behind.knows("X") }).toEqual({
      continued: 1,
      knowsX: true,
    });
  });
});

describe("a node reads the whole restored log", () => {
  async function behindBy(...sessions: readonly string[]): Promise<Node> {
    const one = await nodeThatApplied("a");
    await one.cutOff();
    await end(...sessions);
    return one;
  }

  it("where it had not applied everything that was recorded as published", async () => {
    const one = relay();
    await one.untilRestored(1);
    const behind = await behindBy("b", "c");
    await restartRedis();
    await one.untilRestored(2);
    behind.connect();
    await untilKnown(behind, "b", "c");
    await behind.untilFresh();
    expect(behind.continued()).toBe(0);
    expect(behind.resyncs).toEqual(["start", "generation_changed"]);
  });

  it("where it has missed a whole generation", async () => {
    const one = relay();
    await one.untilRestored(1);
    const running = await nodeThatApplied("a");
    await running.cutOff();
    await restartRedis();
    await one.untilRestored(2);
    await end("b");
    await restartRedis();
    await one.untilRestored(3);
    running.connect();
    await untilKnown(running, "b");
    expect(running.continued()).toBe(0);
  });

  it("where another restore has come in between, and something was published in its log", async () => {
    const one = relay();
    await one.untilRestored(1);
    const running = await nodeThatApplied("a");
    await running.cutOff();
    await relays.pop()?.close();
    await restartRedis();
    let generation = "";
    const next = relayThat((logAdmin) => ({
      beginRestore: async (marker) => {
        if (generation === "") {
          generation = await restoredAside(logAdmin);
          await end("b");
        }
        return logAdmin.beginRestore(marker);
      },
    }));
    await next.untilRestored(1);
    expect(await previousLog()).toMatchObject({ generation });
    running.connect();
    await untilKnown(running, "b");
    await untilAtTheEnd(running);
    expect(running.continued()).toBe(0);
  });

  /** As an instance does that does not know yet that it has lost the lock. */
  async function restoredAside(logAdmin: LogAdmin): Promise<string> {
    const { database } = started;
    const record = await database.transaction({ role: "relay" }, readLogRecord);
    const restored = await restoreLog(
      {
        database,
        clock: systemClock,
        logAdmin,
        requirements: { horizonS: HORIZON_S, minReplicas: 0, clockDifferenceMaxMs: 30_000 },
        newId: randomUUID,
      },
      {
        facts: await logAdmin.facts(),
        record,
        cause: "server_changed",
        judgedAt: momentOf(systemClock),
      },
      () => undefined,
    );
    return restored.generation;
  }

  it("where the log had fallen, also after a restore that was abandoned", async () => {
    let abandoned = true;
    const one = relayThat((logAdmin) => ({
      clear: (marker) => {
        if (abandoned) return logAdmin.clear(marker);
        abandoned = true;
        return Promise.reject(new RevocationLogError("unavailable", "as if killed"));
      },
    }));
    await one.untilRestored(1);
    const running = await nodeThatApplied("a");
    await running.cutOff();
    await redis(server.url, "COPY", KEYS.log, `${KEYS.log}:old`);
    await redis(server.url, "COPY", KEYS.meta, `${KEYS.meta}:old`);
    await end("b");
    // Or it publishes b into the log that has fallen, which is as long as before then.
    await one.untilNextCycle();
    abandoned = false;
    const keys = [KEYS.log, KEYS.meta, `${KEYS.log}:old`, `${KEYS.meta}:old`];
    const goBack = "redis.call('RENAME', KEYS[3], KEYS[1]) redis.call('RENAME', KEYS[4], KEYS[2])";
    await redis(server.url, "EVAL", goBack, "4", ...keys);
    await one.untilRestored(2);
    expect(one.restores.map(({ cause }) => cause)).toEqual(["log_missing", "restore_abandoned"]);
    expect(await previousLog()).toBeUndefined();
    running.connect();
    await untilKnown(running, "b");
    expect(running.continued()).toBe(0);
  });

  it("where the log does not say in which replication it is, as in the first version", async () => {
    const one = relay();
    await one.untilRestored(1);
    const running = await nodeThatApplied("a");
    await redis(server.url, "HDEL", KEYS.meta, "replid");
    await one.untilRestored(2);
    await untilAtTheEnd(running);
    expect(await previousLog()).toBeUndefined();
    expect(running.continued()).toBe(0);
  });

  it("where something in the old log could not be read", async () => {
    const one = relay();
    await one.untilRestored(1);
    const running = await nodeThatApplied("a");
    await relays.pop()?.close();
    const { seq } = (await seeLog(server.url)).meta;
    await redis(server.url, "XADD", KEYS.log, "*", "v", "99", "seq", `${seq + 1}`);
    await redis(server.url, "HINCRBY", KEYS.meta, "seq", "1");
    await server.kill();
    await server.restart();
    const next = relay();
    await next.untilRestored(1);
    expect(next.counts.unreadable).toBe(1);
    expect(await previousLog()).toBeUndefined();
    expect(running.continued()).toBe(0);
  });

  it("where the log remembers for longer than before", async () => {
    const one = relay();
    await one.untilRestored(1);
    const running = node({ required: { ...REQUIRED, horizonS: HORIZON_S } });
    await running.untilFresh();
    await end("a");
    await untilKnown(running, "a");
    await relays.pop()?.close();
    const next = relay({ horizonS: HORIZON_S + 100 });
    await next.untilRestored(1);
    await untilKnown(running, "a");
    await untilAtTheEnd(running);
    expect(running.continued()).toBe(0);
  });
});
