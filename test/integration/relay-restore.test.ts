/** What Redis may lose, and what the relay makes of it, seen by nodes. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { DecidedRevocation } from "../../src/revocation-log/publisher.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { endOf, follow, HORIZON_S, KEYS, redis, type Following } from "../support/following.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { patientConnections } from "../support/patient-connections.js";
import {
  commit,
  commitEnds,
  databasePublisher,
  decided,
  emptyTables,
  rows,
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
  // What the two databases may do differently is tested by the contracts.
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
function node(): Following {
  // Patient, for thousands of entries on a busy machine.
  const log = revocationLogInRedis(patientConnections(server.url), KEYS, systemClock);
  const one = follow(server.url, { log });
  nodes.push(one);
  return one;
}
/** Of the server's replication: another one means that it may be another server's past. */
async function replId(): Promise<string> {
  const info = String(await redis(server.url, "INFO", "replication"));
  return /master_replid:(\w+)/.exec(info)?.[1] ?? "";
}
const ends = (...sessions: readonly string[]) => commitEnds(started.database, ...sessions);
const idsOf = (committed: readonly DecidedRevocation[]) =>
  committed.map(({ eventId }) => eventId).sort();
/** Those in the log, each once: a publication whose record was lost may come a second time. */
const idsInLog = async () => [...new Set((await seeLog(server.url)).eventIds)].sort();
const names = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i}`);

/** All of it in one moment: a relay that looked in between would see another damage. */
const damageWith = (script: string) => {
  const keys = [KEYS.log, KEYS.meta, `${KEYS.log}:old`, `${KEYS.meta}:old`];
  return redis(server.url, "EVAL", script, `${keys.length}`, ...keys);
};

/** Keeps log and facts as they are now, to go back to. */
const keepOld = async () => {
  await redis(server.url, "COPY", KEYS.log, `${KEYS.log}:old`);
  await redis(server.url, "COPY", KEYS.meta, `${KEYS.meta}:old`);
};
const goBack = () =>
  damageWith("redis.call('RENAME', KEYS[3], KEYS[1]) redis.call('RENAME', KEYS[4], KEYS[2])");

describe("Redis that comes back", () => {
  it("empty is given everything again, and nodes refuse it, one started only then too", async () => {
    const one = relay();
    await one.untilRestored(1);
    const before = await ends("early-1", "early-2");
    const running = node();
    await running.until("the early ones", ({ knows }) => knows("early-1") && knows("early-2"));
    await server.kill();
    const meanwhile = await ends("late-1", "late-2", "late-3");
    await one.until("the trouble", () => one.problems.at(-1) === "redis_unavailable");
    await server.restart({ empty: true });
    const backMs = performance.now();
    const late = node();
    for (const each of [running, late]) {
      await each.until("all", ({ knows }) => idsKnown(knows));
      await each.untilFresh();
    }
    process.stdout.write(
      `all nodes refuse again ${Math.round(performance.now() - backMs)} ms after Redis is back\n`,
    );
    expect(await idsInLog()).toEqual(idsOf([...before, ...meanwhile]));
    // The nodes may know before the relay has noted it.
    await one.untilRestored(2);
    expect(one.restores[1]?.cause).toBe("log_missing");

    function idsKnown(knows: (session: string) => boolean): boolean {
      return ["early-1", "early-2", "late-1", "late-2", "late-3"].every(knows);
    }
  });

  it("with its data, but as another process, is given everything again", async () => {
    const one = relay();
    await one.untilRestored(1);
    const [pending] = await ends("a");
    await one.until("publishing", () => one.counts.published === 1);
    await server.restart();
    await one.untilRestored(2);
    expect(one.restores[1]).toMatchObject({ cause: "server_changed", entries: 1 });
    expect((await seeLog(server.url)).eventIds).toEqual([pending?.eventId]);
  });

  it("is restored at its first replica, and when its backlog expires: it might be another one", async () => {
    // How quickly it is restored with 100,000 revocations is the benchmark's; here it is once each.
    await redis(server.url, "CONFIG", "SET", "repl-backlog-ttl", "1");
    const one = relay();
    await one.untilRestored(1);
    await ends("known");
    const running = node();
    await running.until("it", ({ knows }) => knows("known"));
    await running.untilFresh();
    const ids = [await replId()];
    const of = ["--replicaof", "127.0.0.1", `${server.port}`];
    const replica = await RedisServer.start({ args: of });
    try {
      await one.untilRestored(2);
      ids.push(await replId());
      await running.untilFresh();
    } finally {
      await replica.close();
    }
    await one.untilRestored(3);
    ids.push(await replId());
    await running.untilFresh();
    expect(new Set(ids).size).toBe(3);
    expect(one.restores.slice(1)).toMatchObject(
      Array.from({ length: 2 }, () => ({ cause: "server_changed", entries: 1, coversFromMs: 0 })),
    );
    expect(running.knows("known")).toBe(true);
  });

  it("is told how many replicas the service demands, without being restored", async () => {
    const one = relay();
    await one.untilRestored(1);
    await one.close();
    const two = relay({ minReplicas: 1 });
    await two.until("the demand", async () => (await seeLog(server.url)).meta.minReplicas === 1);
    expect(two.restores).toEqual([]);
  });

  it("with older data is given what it lost", async () => {
    const one = relay();
    await one.untilRestored(1);
    await ends("kept");
    await one.until("publishing", () => one.counts.published === 1);
    await keepOld();
    await ends("forgotten");
    await one.until("publishing", () => one.counts.published === 2);
    await one.close();
    await goBack();
    await server.restart();
    const [running, two] = [node(), relay()];
    await running.until("both", ({ knows }) => knows("kept") && knows("forgotten"));
    // The node may know before the relay has noted it.
    await two.untilRestored(1);
    expect(two.restores).toMatchObject([{ cause: "server_changed", entries: 2 }]);
  });

  it.each([
    // Where it falls between the two looks of a cycle, the second one tells.
    ["fallen back under the same run id", /^(log_fell|entries_missing)$/, goBack],
    ["without the stream", /^entries_missing$/, () => redis(server.url, "DEL", KEYS.log)],
    ["without the facts", /^log_missing$/, () => redis(server.url, "DEL", KEYS.meta)],
    [
      "with an older stream under the same facts",
      /^entries_missing$/,
      () => redis(server.url, "RENAME", `${KEYS.log}:old`, KEYS.log),
    ],
    [
      "with something else for a stream, and facts that are gone",
      /^log_missing$/,
      () => damageWith("redis.call('DEL', KEYS[2]) redis.call('SET', KEYS[1], 'no stream')"),
    ],
    [
      "with facts that nobody understands",
      /^log_unreadable$/,
      () => redis(server.url, "HSET", KEYS.meta, "seq", "many"),
    ],
    [
      "for ever being restored",
      /^restore_abandoned$/,
      () => redis(server.url, "HSET", KEYS.meta, "restoring", "somebody who died"),
    ],
  ])("%s is restored", async (_what, cause, damage) => {
    const one = relay();
    await one.untilRestored(1);
    await ends("kept");
    await one.until("publishing", () => one.counts.published === 1);
    await keepOld();
    const all = await ends("forgotten");
    await one.until("publishing", () => one.counts.published === 2);
    const running = node();
    await running.untilFresh();
    await damage();
    await one.untilRestored(2);
    expect(one.restores[1]?.cause).toMatch(cause);
    await running.until("both", ({ knows }) => knows("kept") && knows("forgotten"));
    const { generation } = (await seeLog(server.url)).meta;
    expect(generation).toBe(one.restores.at(-1)?.generation);
    await running.until(
      "the new generation",
      ({ follower }) =>
        follower.stalenessMs() < 1000 && follower.status().generation === generation,
    );
    expect((await seeLog(server.url)).eventIds).toContain(all[0]?.eventId);
  });

  it("gets what is pending within 250 ms", async () => {
    const one = relay();
    await one.untilRestored(1);
    const committed: DecidedRevocation[] = [];
    const tookMs: number[] = [];
    for (const round of [1, 2, 3]) {
      await server.stop();
      committed.push(...(await ends(...names(`s-${round}`, 3))));
      await one.until("the trouble", () => one.problems.at(-1) === "redis_unavailable");
      await server.restart();
      const backMs = performance.now();
      await one.untilRestored(1 + round);
      tookMs.push(Math.round(performance.now() - backMs));
      expect(await idsInLog()).toEqual(idsOf(committed));
    }
    process.stdout.write(`pending revocations were out ${tookMs.join(", ")} ms after Redis\n`);
    // Of three, for a machine that stands still says nothing of the relay; and it includes the look.
    expect(Math.min(...tookMs)).toBeLessThan(1000);
  });
});

describe("a restored log", () => {
  it("holds what the horizon holds, and nothing older", async () => {
    const old = decided(endOf("old"), { atMs: Date.now() - HORIZON_S * 1000 - 1000 });
    const young = decided(endOf("young"), { atMs: Date.now() - HORIZON_S * 1000 + 60_000 });
    await commit(started.database, old, young);
    const one = relay();
    await one.untilRestored(1);
    expect(one.restores[0]?.entries).toBe(1);
    // What was still pending is published all the same.
    await one.until("the old one", () => one.counts.published === 1);
    expect((await seeLog(server.url)).eventIds).toEqual([young.eventId, old.eventId]);
  });

  it("is made anew with a longer horizon when the settings ask for one", async () => {
    const one = relay();
    await one.untilRestored(1);
    await one.close();
    const two = relay({ horizonS: HORIZON_S + 30 });
    await two.untilRestored(1);
    expect(two.restores[0]?.cause).toBe("horizon_too_short");
    expect((await seeLog(server.url)).meta.horizonS).toBe(HORIZON_S + 30);
  });

  it("is not made anew by the next relay if it is sound", async () => {
    const one = relay();
    await one.untilRestored(1);
    const { generation } = (await seeLog(server.url)).meta;
    await one.close();
    const two = relay();
    await ends("s");
    await two.until("publishing", () => two.counts.published === 1);
    expect(two.restores).toEqual([]);
    expect((await seeLog(server.url)).meta.generation).toBe(generation);
  });

  it("loses nothing that requests publish meanwhile", async () => {
    const one = relay();
    await one.untilRestored(1);
    const outbox = new LogOutbox({
      database: started.database,
      clock: systemClock,
      publisher: databasePublisher(server.url),
      receipts: { waitFor: () => never() },
      observer: {
        onPublished: () => undefined,
        onLeft: () => undefined,
        onRecordingFailed: () => undefined,
      },
    });
    const committed: DecidedRevocation[] = [];
    const acknowledged: boolean[] = [];
    const request = async (i: number, damaged: Promise<unknown>) => {
      const ended = await ends(`race-${i}`);
      committed.push(...ended);
      // Some come just after the damage, however quick the machine is.
      if (i % 3 === 0) await damaged;
      acknowledged.push((await outbox.publish(ended, 0)).published);
    };
    for (let round = 0; round < 4; round += 1) {
      // In the middle of them; the relay begins while they go on.
      const damaged = one
        .until("some answers", () => acknowledged.length >= round * 60 + 5)
        .then(() => redis(server.url, "HDEL", KEYS.meta, "generation"));
      await Promise.all(names("r", 60).map((_, i) => request(round * 60 + i, damaged)));
      await one.untilRestored(2 + round);
    }
    await outbox.close();
    const all = idsOf(committed);
    await one.until("everything in the last log", async () => {
      const seen = await seeLog(server.url).catch(() => undefined);
      return all.every((id) => seen?.eventIds.includes(id) === true);
    });
    expect(all).toHaveLength(240);
    expect(new Set(acknowledged)).toEqual(new Set([true, false]));

    function never(): never {
      throw new Error("nobody waits");
    }
  });

  it("is made of many pages", async () => {
    // More than a page of the database's, and many that were decided at the same moment.
    await rows(
      started.database,
      "relay",
      sql`INSERT INTO sekisho.revocations
            (tenant_id, event_id, partition, kind, session_id, at, origin)
          SELECT 'acme', gen_random_uuid(), 0, 'session_revoked', 'many-' || i,
            now() - interval '9 s' + i / 1500 * interval '1 s', 'service'
          FROM generate_series(1, 6000) AS i`,
    );
    const one = relay();
    await one.untilRestored(1);
    process.stdout.write(`6,000 revocations restored in ${one.restores[0]?.tookMs ?? 0} ms\n`);
    expect(one.restores[0]).toMatchObject({ entries: 6_000, seq: 6_001 });
    const { eventIds } = await seeLog(server.url);
    expect(new Set(eventIds).size).toBe(6_000);
    // They are marked as published, not published once more.
    await one.until("a look at the outbox", () => one.relay.status().pending?.count === 0);
    expect(one.counts.published).toBe(0);
    const running = node();
    await running.until("all", ({ applied }) => applied.length >= 6_001);
  });

  it("follows a thousand pending revocations in one go", async () => {
    const one = relay();
    await one.untilRestored(1);
    const committed = await ends(...names("p", 1000));
    const fromMs = performance.now();
    await one.until("publishing", () => one.counts.published >= 1000);
    process.stdout.write(
      `1,000 pending revocations out in ${Math.round(performance.now() - fromMs)} ms\n`,
    );
    expect(await idsInLog()).toEqual(idsOf(committed));
  });
});
