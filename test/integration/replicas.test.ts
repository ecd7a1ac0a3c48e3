/**
 * The log on a Redis with replicas: what a failover may do to it, and that no node takes an old
 * master for the one that publishers write to.
 */
import { afterEach, describe, expect, it } from "@jest/globals";
import { waitUntil } from "../../dev/wait-for.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import { systemClock } from "../../src/runtime/clock.js";
import {
  KEYS,
  MAX_STALENESS_MS,
  REQUIRED,
  UNTIL_MS,
  endOf,
  follow,
  initLog,
  publish,
  redis,
  type Following,
} from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { ReplicaSet, follow as replicate } from "../support/replica-set.js";

let set: ReplicaSet | undefined;
const nodes: Following[] = [];

afterEach(async () => {
  set?.link.mend();
  set?.master.resume();
  await Promise.all(nodes.splice(0).map(({ follower }) => follower.close()));
  await set?.close();
  set = undefined;
});

async function replicaSet(count: number, minReplicas = 0): Promise<ReplicaSet> {
  set = await ReplicaSet.start(count, minReplicas);
  return set;
}

function node(url: string, change: Parameters<typeof follow>[1] = {}): Following {
  const following = follow(url, change);
  nodes.push(following);
  return following;
}

/** Opens a log that every replica has a copy of: whichever is promoted. */
async function openedEverywhere(change: Parameters<typeof initLog>[1]): Promise<void> {
  if (set === undefined) throw new Error("no replicas");
  await initLog(set.master.url, change);
  for (const { url } of set.replicas) {
    await waitUntil(async () => (await redis(url, "EXISTS", KEYS.meta)) === 1, {
      what: "the replica's copy of the log",
      timeoutMs: UNTIL_MS,
      everyMs: 5,
    });
  }
}

/** Nodes of the old master; one alone may look at the wrong moment. */
async function freshNodes(url: string, count: number): Promise<readonly Following[]> {
  const started = Array.from({ length: count }, () => node(url));
  await Promise.all(started.map((one) => one.untilFresh()));
  return started;
}

/** For how long an old master was seen to answer reads after it had been replaced, and more. */
const OLD_MASTER_MS = 5000;

/** The proofs that `nodes` had of moments after `sinceMs`, for a while. */
async function proofsAfter(
  sinceMs: number,
  asked: readonly Following[],
): Promise<readonly number[]> {
  const found: number[] = [];
  await waitUntil(
    () => {
      for (const { follower } of asked) {
        const { provenAt } = follower.freshness;
        if (provenAt !== undefined && provenAt.monotonicMs > sinceMs) {
          found.push(Math.round(provenAt.monotonicMs - sinceMs));
        }
      }
      return performance.now() > sinceMs + OLD_MASTER_MS;
    },
    { what: "the old master to have been asked long enough", timeoutMs: UNTIL_MS, everyMs: 5 },
  );
  return found;
}

/** A promoted replica counts its own replicas once a second. */
const publishedOn = (url: string, session: string): Promise<void> =>
  waitUntil(async () => (await publish(url, endOf(session))).published, {
    what: `the publication of ${session}`,
    timeoutMs: UNTIL_MS,
  });

const wait1 = { minReplicas: 1 } as const;

describe("an old master", () => {
  it("that was paused while another was promoted proves nothing to the nodes that reach it", async () => {
    const { master, replicas } = await replicaSet(2, 1);
    const [second] = replicas;
    if (second === undefined) throw new Error("no replica");
    await openedEverywhere(wait1);
    expect(await publish(master.url, endOf("early"))).toMatchObject({ published: true });
    const asked = await freshNodes(master.url, 6);

    master.pause();
    set?.link.hang();
    await set?.promote(second);
    await publishedOn(second.url, "late");
    const acknowledgedAtMs = performance.now();
    master.resume();
    expect(await proofsAfter(acknowledgedAtMs, asked)).toEqual([]);
    expect(asked.map(({ knows }) => [knows("early"), knows("late")])).toEqual(
      asked.map(() => [true, false]),
    );
  });

  it("whose replicas left without a word proves nothing to the nodes that reach it", async () => {
    const { master, replicas } = await replicaSet(2, 1);
    const [second] = replicas;
    if (second === undefined) throw new Error("no replica");
    await openedEverywhere(wait1);
    const asked = await freshNodes(master.url, 6);

    set?.link.hang();
    await set?.promote(second);
    await publishedOn(second.url, "late");
    expect(await proofsAfter(performance.now(), asked)).toEqual([]);
    for (const one of asked) await one.until("a reason", ({ problems }) => problems.length > 0);
  });

  it("is left for the new one, where everything that was acknowledged is known", async () => {
    const { master, replicas } = await replicaSet(2, 1);
    const [second] = replicas;
    if (second === undefined) throw new Error("no replica");
    await openedEverywhere(wait1);
    await set?.promote(second);
    await publishedOn(second.url, "late");
    const late = node(second.url);
    await late.untilFresh();
    expect(late.knows("late")).toBe(true);
    await replicate(master, second);
    await node(master.url).untilProblem("not_a_master");
  });
});

describe("a quorum", () => {
  it("is kept while enough replicas are there, and lost with them", async () => {
    const { master, replicas } = await replicaSet(2);
    await initLog(master.url, wait1);
    const [asked] = await freshNodes(master.url, 1);
    await replicas[0]?.kill();
    const sinceMs = performance.now();
    await asked?.until(
      "a proof without it",
      ({ follower }) => (follower.freshness.provenAt?.monotonicMs ?? 0) > sinceMs + 500,
    );
    await replicas[1]?.kill();
    await asked?.untilProblem("too_few_replicas");
    await asked?.until("staleness", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);
    await replicas[1]?.restart();
    await asked?.untilFresh();
    expect(asked?.resyncs).toEqual(["start"]);
  });

  it("is asked for by the node's own setting, too", async () => {
    const { master, replicas } = await replicaSet(1);
    await initLog(master.url);
    const asked = node(master.url, { required: { ...REQUIRED, minReplicas: 1 } });
    await asked.untilFresh();
    replicas[0]?.pause();
    await asked.untilProblem("too_few_replicas");
    replicas[0]?.resume();
    await asked.untilFresh();
  });

  it("is demanded of every publisher by the log, whatever its own setting", async () => {
    const { master, replicas } = await replicaSet(1);
    await initLog(master.url, wait1);
    expect(await publish(master.url, endOf("s-1"))).toMatchObject({ published: true });
    await replicas[0]?.kill();
    const refused = await publish(master.url, endOf("s-2"));
    expect(refused).toMatchObject({ published: false, code: "too_few_replicas" });
  });
});

describe("changing the number of replicas", () => {
  it("raises what the log demands first; a replica too many stops every proof until then", async () => {
    const { master } = await replicaSet(2);
    await initLog(master.url, wait1);
    const [asked] = await freshNodes(master.url, 1);
    await set?.add();
    expect(await asked?.untilProblem("too_many_replicas")).toContain("at most 2");
    await asked?.until("staleness", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);
    const change = { minReplicas: 2, changeMinReplicas: true };
    expect(await initLog(master.url, change)).toMatchObject(["replicas", { minReplicas: 1 }]);
    await asked?.untilFresh();
    expect(asked?.resyncs).toEqual(["start"]);
    expect(await publish(master.url, endOf("s-1"))).toMatchObject({ published: true });
    await asked?.until("s-1", ({ knows }) => knows("s-1"));
  });

  it("leaves a log alone that is opened again without saying so", async () => {
    const { master } = await replicaSet(1);
    await initLog(master.url, wait1);
    expect(await initLog(master.url, { minReplicas: 0 })).toMatchObject(["exists", {}]);
    expect(await redis(master.url, "HGET", KEYS.meta, "min_replicas")).toBe("1");
  });

  it("says once that a failover is not covered where none is demanded", async () => {
    const { master } = await replicaSet(1);
    await initLog(master.url);
    const [asked] = await freshNodes(master.url, 1);
    await asked?.until("its note", ({ unprotected }) => unprotected.length > 0);
    const { provenAt } = asked?.follower.freshness ?? {};
    await asked?.until("a proof", ({ follower }) => follower.freshness.provenAt !== provenAt);
    expect(asked?.unprotected).toEqual([1]);
    expect(asked?.follower.status().unprotectedReplicas).toBe(1);
  });
});

describe("a server that was replaced and came back", () => {
  it("has its own run ID and another's older data, and is not the one that the log is of", async () => {
    const { master, replicas, link } = await replicaSet(1);
    const [second] = replicas;
    if (second === undefined) throw new Error("no replica");
    await openedEverywhere({ authority: "database", generation: "g-1" });
    link.cutOff();
    const publisher = databasePublisher(master.url);
    const texts = { reason: undefined, actor: undefined };
    const request = { eventId: "e", atMs: Date.now(), generation: "g-1", ...texts };
    const lost = await publisher.publish({ ...request, revocation: endOf("lost") });
    publisher.close();
    expect(lost).toMatchObject({ published: true });
    await redis(second.url, "REPLICAOF", "NO", "ONE");
    await replicate(master, second);
    await redis(master.url, "REPLICAOF", "NO", "ONE");

    const born = node(master.url);
    expect(await born.untilProblem("log_incomplete")).toContain("promoted");
    expect(born.follower.stalenessMs()).toBe(Infinity);
    const again = databasePublisher(master.url);
    const refused = await again.publish({ ...request, revocation: endOf("s-1") });
    again.close();
    expect(refused).toMatchObject({ published: false, code: "log_incomplete" });
  });

  it("is no matter where Redis itself is the authority: a backlog that expires costs nothing", async () => {
    const { master, replicas } = await replicaSet(1);
    await redis(master.url, "CONFIG", "SET", "repl-backlog-ttl", "1");
    await initLog(master.url);
    const [asked] = await freshNodes(master.url, 1);
    const before = await replId(master.url);
    await replicas[0]?.kill();
    await waitUntil(async () => (await replId(master.url)) !== before, {
      what: "another replication ID",
      timeoutMs: UNTIL_MS,
      everyMs: 20,
    });
    const sinceMs = performance.now();
    await asked?.until(
      "a later proof",
      ({ follower }) => (follower.freshness.provenAt?.monotonicMs ?? 0) > sinceMs,
    );
    expect(asked?.resyncs).toEqual(["start"]);
  });
});

function databasePublisher(url: string): RedisPublisher {
  return new RedisPublisher({
    open: patientConnections(url),
    keys: KEYS,
    clock: systemClock,
    authority: "database",
    minReplicas: 0,
    clockSkewS: 5,
  });
}

const replId = async (url: string): Promise<string | undefined> =>
  /master_replid:(\w+)/.exec(String(await redis(url, "INFO", "replication")))?.[1];
