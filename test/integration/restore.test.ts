/** A log is restored while nodes follow it: they never take half of it for the whole. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { APPEND_MAX_ENTRIES } from "../../src/revocation-log/log-admin.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import {
  HORIZON_S,
  KEYS,
  MAX_STALENESS_MS,
  endOf,
  follow,
  initLog,
  publish,
  redis,
  type Following,
} from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";

let server: RedisServer;
let logAdmin: RedisLogAdmin;
const open: Following[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  logAdmin = new RedisLogAdmin(patientConnections(server.url), KEYS);
});
beforeEach(async () => {
  await redis(server.url, "FLUSHALL");
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ follower }) => follower.close()));
});
afterAll(async () => {
  logAdmin.close();
  await server.close();
});

function start(): Following {
  const following = follow(server.url);
  open.push(following);
  return following;
}

const entriesOf = (sessions: readonly string[]) =>
  sessions.map((session) => ({
    revocation: endOf(session),
    atMs: Date.now(),
    eventId: session,
    reason: undefined,
    actor: undefined,
    origin: undefined,
  }));
const goodLog = () =>
  ({
    generation: randomUUID(),
    horizonS: HORIZON_S,
    coversFromMs: 0,
    minReplicas: 0,
  }) as const;

/** Appends in batches; `between` runs after each. */
async function appendAll(
  marker: string,
  sessions: readonly string[],
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (let from = 0; from < sessions.length; from += APPEND_MAX_ENTRIES) {
    const batch = entriesOf(sessions.slice(from, from + APPEND_MAX_ENTRIES));
    expect(await logAdmin.append(marker, HORIZON_S, batch)).toMatchObject({ done: true });
    await between();
  }
}

const examinedAgain = async (following: Following): Promise<void> => {
  const before = following.examined();
  await following.until("another look", () => following.examined() > before + 1);
};

describe("nodes, while their log is restored", () => {
  it("prove nothing and go on refusing what they know, then know everything and are fresh", async () => {
    await initLog(server.url);
    const [old, idle] = [start(), start()];
    await Promise.all([old.untilFresh(), idle.untilFresh()]);
    await publish(server.url, endOf("known"));
    await old.until("it", ({ knows }) => knows("known"));

    await logAdmin.beginRestore("marker");
    await old.until("it", ({ problems }) => problems.at(-1) === "log_restoring");
    const provenAt = old.follower.freshness.provenAt;
    const born = start();
    const stillStale = async () => {
      await Promise.all([examinedAgain(old), examinedAgain(born)]);
      expect(old.follower.freshness.provenAt).toBe(provenAt);
      expect(born.follower.freshness.provenAt).toBeUndefined();
      for (const node of [old, born]) {
        await node.until("log_restoring", ({ problems }) => problems.at(-1) === "log_restoring");
      }
      expect(old.knows("known")).toBe(true);
    };
    await stillStale();
    await logAdmin.clear("marker");
    await stillStale();
    await appendAll("marker", ["known", "meanwhile"], stillStale);
    // So that who is fresh below has proved it anew.
    for (const node of [old, idle]) {
      await node.until("it", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);
    }
    await logAdmin.finish("marker", goodLog());
    for (const node of [old, idle, born]) {
      await node.untilFresh();
      expect([node.knows("known"), node.knows("meanwhile")]).toEqual([true, true]);
    }
  });

  it("stay stale after a restore that was abandoned, until another one has ended", async () => {
    const node = start();
    const dead = new RedisLogAdmin(patientConnections(server.url), KEYS);
    await dead.beginRestore("dead");
    await dead.clear("dead");
    dead.close();
    await node.until("it", ({ problems }) => problems.at(-1) === "log_restoring");
    await logAdmin.beginRestore("marker");
    await logAdmin.clear("marker");
    await appendAll("marker", ["s-1"]);
    expect(node.follower.freshness.provenAt).toBeUndefined();
    await logAdmin.finish("marker", goodLog());
    await node.untilFresh();
    expect(node.knows("s-1")).toBe(true);
  });

  it("read 5,000 entries that were restored in batches", async () => {
    const node = start();
    await node.until("it", ({ problems }) => problems.includes("log_missing"));
    const sessions = Array.from({ length: 5000 }, (_, i) => `s-${i}`);
    const from = performance.now();
    await logAdmin.beginRestore("marker");
    await logAdmin.clear("marker");
    await appendAll("marker", sessions);
    expect(await logAdmin.finish("marker", goodLog())).toMatchObject({ done: true, seq: 5001 });
    const restoredMs = performance.now() - from;
    await node.untilFresh();
    const freshMs = performance.now() - from;
    expect(node.state.counts.session).toBe(5000);
    process.stdout.write(
      `5,000 entries restored in ${restoredMs.toFixed(0)} ms, a node fresh after ${freshMs.toFixed(0)} ms\n`,
    );
  });
});
