import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import {
  HORIZON_S,
  KEYS,
  MAX_STALENESS_MS,
  REQUIRED,
  UNTIL_MS,
  endOf,
  follow,
  groupNames,
  initLog,
  publish,
  redis,
  type Following,
} from "../support/following.js";
import { decodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import { publishMany } from "../support/kept-publisher.js";
import { ManualClock } from "../support/manual-clock.js";
import { tokenNames } from "../support/token-names.js";

let server: RedisServer;
let url: string;
const open: Following[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
  url = server.url;
});
beforeEach(async () => {
  await redis(url, "FLUSHALL");
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(({ follower }) => follower.close()));
});
afterAll(() => server.close());

function start(...args: Parameters<typeof follow>): Following {
  const following = follow(...args);
  open.push(following);
  return following;
}

async function inStep(): Promise<Following> {
  await initLog(url);
  const following = start(url);
  await following.untilFresh();
  return following;
}

const published = (count: number, prefix: string): Promise<void> =>
  publishMany(url, { count, prefix });

/** A clock that runs ahead of Redis's, both hands alike, by as much as `aheadMs` says. */
class FastClock {
  aheadMs = 0;

  wallMs(): number {
    return systemClock.wallMs() + this.aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.aheadMs;
  }
}

describe("following a log", () => {
  it("applies what is published, and acknowledges it", async () => {
    const following = await inStep();
    await publish(url, endOf("s-1"));
    await following.until("s-1", ({ knows }) => knows("s-1"));
    const group = following.follower.status().group ?? "";
    const row = async () => decodeNodeRow(String(await redis(url, "HGET", KEYS.nodes, group)));
    await waitUntil(async () => (await row())?.seq === 2, {
      what: "the acknowledgement",
      timeoutMs: UNTIL_MS,
    });
    expect(await row()).toMatchObject({ maxStalenessMs: MAX_STALENESS_MS, onStale: "deny" });
    expect(await redis(url, "XPENDING", KEYS.log, group)).toMatchObject({ 0: 0 });
  });

  it("reads what was revoked before it was born, over many pages", async () => {
    await initLog(url);
    await published(200, "old-");
    const following = start(url);
    await following.untilFresh();
    expect(following.state.counts.session).toBe(200);
    expect(following.knows("old-0") && following.knows("old-199")).toBe(true);
  });

  it("misses nothing that is published while it joins", async () => {
    await initLog(url);
    await published(100, "before-");
    const publishing = published(100, "during-");
    const following = start(url);
    await publishing;
    await following.until("all of them", ({ state }) => state.counts.session === 200);
    expect(following.resyncs).toEqual(["start"]);
  });

  it("takes a burst that is larger than one read", async () => {
    const following = await inStep();
    await publishMany(url, { count: 300, prefix: "burst-", atOnce: true });
    await following.until("the burst", ({ state }) => state.counts.session === 300);
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start"]);
  });

  it("stays fresh on a quiet log", async () => {
    const following = await inStep();
    const provenAt = following.follower.freshness.provenAt;
    await following.until(
      "five more proofs",
      ({ follower }) =>
        (follower.freshness.provenAt?.monotonicMs ?? 0) > (provenAt?.monotonicMs ?? 0) + 1250,
    );
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start"]);
  });

  it("proves freshness with its first read, without waiting for an entry", async () => {
    await initLog(url);
    const tookMs: number[] = [];
    // On a busy machine one may be held up; a read that waits never takes less than 250 ms.
    while (tookMs.length < 5) {
      const startedMs = performance.now();
      const following = start(url);
      await following.untilFresh();
      tookMs.push(performance.now() - startedMs);
    }
    expect(Math.min(...tookMs)).toBeLessThan(200);
  });

  it("dates a proof from when the read was sent, not from when it was answered", async () => {
    const following = await inStep();
    const { follower } = following;
    const before = follower.freshness.provenAt;
    await following.until("the next proof", () => follower.freshness.provenAt !== before);
    // On a quiet log the answer comes after 250 ms.
    expect(follower.stalenessMs()).toBeGreaterThan(200);
  });

  it("forgets what can no longer matter", async () => {
    await initLog(url, { horizonS: 1 });
    const clock = new FastClock();
    const required = { ...REQUIRED, skewMs: 60_000, horizonS: 1 };
    const following = start(url, { clock, required });
    await following.untilFresh();
    await publish(url, endOf("s-1"));
    await following.until("s-1", ({ knows }) => knows("s-1"));
    // It is kept for the horizon and for as long as the clocks may differ.
    clock.aheadMs = required.skewMs - 500;
    await following.until("its end", ({ state }) => state.counts.session === 0);
  });

  it("removes its group and row when it closes", async () => {
    const following = await inStep();
    expect(await groupNames(url)).toHaveLength(1);
    await following.follower.close();
    expect(await groupNames(url)).toHaveLength(0);
    expect(await redis(url, "HLEN", KEYS.nodes)).toBe(0);
  });

  it("marks what it cannot read as uncertain, and goes on with the rest", async () => {
    const following = await inStep();
    const unknown = ["v", "1", "seq", "2", "kind", "device_revoked", "tenant", "acme"];
    await redis(url, "XADD", KEYS.log, "*", ...unknown, "forget_at", "9999999999999");
    await redis(url, "HSET", KEYS.meta, "seq", "2");
    await following.until("the unknown kind", ({ applied }) => applied.length === 2);
    expect(following.state.lookUp(tokenNames("acme", "u", "s")).uncertainty).toBe(
      "unreadable_entry",
    );
    expect(following.state.lookUp(tokenNames("globex", "u", "s")).uncertainty).toBeUndefined();
    await publish(url, endOf("after"));
    await following.until("the next one", ({ knows }) => knows("after"));
    await redis(url, "XADD", KEYS.log, "*", "v", "9", "seq", "4", "kind", "session_revoked");
    await following.until(
      "uncertainty about every tenant",
      ({ state }) =>
        state.lookUp(tokenNames("globex", "u", "s")).uncertainty === "unreadable_entry",
    );
  });
});

describe("a loss in the log", () => {
  const forge = (seq: number, session: string): Promise<unknown> => {
    const times = ["at", "1", "forget_at", "9999999999999"];
    const fields = ["v", "1", "seq", String(seq), "kind", "session_revoked", ...times];
    return redis(url, "XADD", KEYS.log, "*", ...fields, "tenant", "acme", "session", session);
  };

  it("is seen as a gap in seq; what came after it is applied all the same", async () => {
    const following = await inStep();
    await redis(url, "HSET", KEYS.meta, "seq", "3");
    await forge(3, "after-the-gap");
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    await following.until("what came after", ({ knows }) => knows("after-the-gap"));
    await following.until("staleness", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);
    await following.untilProblem("out_of_step");
    await initLog(url, { replace: true });
    await following.untilFresh();
    expect(following.knows("after-the-gap")).toBe(true);
  });

  it("is seen where an entry was deleted before it was read", async () => {
    await initLog(url);
    await published(3, "s");
    const outcome = await publish(url, endOf("deleted"));
    await published(3, "t");
    await redis(url, "XDEL", KEYS.log, outcome.published ? outcome.entryId : "");
    const following = start(url);
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    expect(following.follower.stalenessMs()).toBe(Infinity);
  });

  it("is seen where the end was deleted", async () => {
    await initLog(url);
    await published(2, "s");
    const outcome = await publish(url, endOf("deleted"));
    await redis(url, "XDEL", KEYS.log, outcome.published ? outcome.entryId : "");
    const following = start(url);
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    expect(following.follower.stalenessMs()).toBe(Infinity);
    expect(await groupNames(url)).toEqual([]);
  });

  it("is seen where the beginning was trimmed away", async () => {
    await initLog(url);
    await published(3, "s");
    await redis(url, "XTRIM", KEYS.log, "MAXLEN", "2");
    const following = start(url);
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    expect(following.follower.stalenessMs()).toBe(Infinity);
  });

  it("is seen as a fall of seq, and says what to do", async () => {
    const following = await inStep();
    await published(3, "s");
    await following.until("them", ({ state }) => state.counts.session === 3);
    await redis(url, "HSET", KEYS.meta, "seq", "2");
    expect(await following.untilProblem("log_fell")).toContain("sekisho log init --replace");
    expect(following.knows("s2")).toBe(true);
  });

  it("is seen when an entry was delivered to somebody else", async () => {
    const following = await inStep();
    const group = following.follower.status().group ?? "";
    await redis(url, "XGROUP", "SETID", KEYS.log, group, "$");
    const entry = ["v", "1", "seq", "2", "kind", "session_revoked", "tenant", "acme"];
    const script = `redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
      redis.call('HSET', KEYS[2], 'seq', 2)
      return redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '$')`;
    const times = ["at", "1", "forget_at", "9999999999999"];
    const args = [group, ...entry, "session", "s", ...times];
    await redis(url, "EVAL", script, "2", KEYS.log, KEYS.meta, ...args);
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    await following.until("s", ({ knows }) => knows("s"));
    await following.untilFresh();
  });

  it("is seen when the stream is deleted under a blocked reader", async () => {
    const following = await inStep();
    await publish(url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    await redis(url, "DEL", KEYS.log);
    await following.until("the loss", ({ problems }) => problems.includes("out_of_step"));
    await following.until("staleness", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);
    expect(await redis(url, "EXISTS", KEYS.log)).toBe(0);
    expect(following.knows("known")).toBe(true);
  });

  it("is seen when everything is gone, and mended by opening a log", async () => {
    const following = await inStep();
    await publish(url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    await redis(url, "FLUSHALL");
    expect(await following.untilProblem("log_missing")).toContain("sekisho log init");
    await initLog(url, { nothingWasRevoked: false });
    await following.until("a proof", ({ follower }) => follower.freshness.coversFromMs > 0);
    expect(following.knows("known")).toBe(true);
  });

  it("is no matter when the log is opened anew: what is known stays known", async () => {
    const following = await inStep();
    await publish(url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    await initLog(url, { replace: true });
    await publish(url, endOf("new"));
    await following.until("new", ({ knows }) => knows("new"));
    await following.untilFresh();
    expect(following.knows("known")).toBe(true);
    expect(following.resyncs).toEqual(["start", "generation_changed"]);
  });
});

describe("a log that cannot be followed", () => {
  const expectProblem = async (code: string, change: Parameters<typeof follow>[1] = {}) => {
    const following = start(url, change);
    await following.untilProblem(code);
    expect(following.follower.stalenessMs()).toBe(Infinity);
  };

  it("is missing, until somebody opens one", async () => {
    const following = start(url);
    await following.untilProblem("log_missing");
    expect(await redis(url, "EXISTS", KEYS.log)).toBe(0);
    await initLog(url);
    await following.until("back in step", ({ problems }) => problems.includes(undefined));
    // Each once; but a connection may have been lost in a slow moment.
    const { problems } = following;
    expect(problems.filter((code, at) => at > 0 && code === problems[at - 1])).toEqual([]);
    const told = new Set(problems.filter((code) => code !== "unreachable"));
    expect([...told]).toStrictEqual(["log_missing", undefined]);
    await following.untilFresh();
  });

  it("remembers too little, until its horizon is raised", async () => {
    await initLog(url);
    const required = { ...REQUIRED, horizonS: HORIZON_S + 1 };
    const following = start(url, { required });
    await following.untilProblem("horizon_too_short");
    await initLog(url, { horizonS: HORIZON_S + 1 });
    await following.untilFresh();
    expect(following.follower.freshness.coversFromMs).toBeGreaterThan(0);
  });

  it("raises its horizon, and what was revoked before stays so for that long", async () => {
    const clock = new FastClock();
    const [skewMs, oldS, newS] = [60_000, 1, 600];
    await initLog(url, { horizonS: oldS });
    await publish(url, endOf("s-1"));
    const revokedAtMs = Date.now();
    const early = start(url, { clock, required: { ...REQUIRED, skewMs, horizonS: oldS } });
    await early.untilFresh();
    await initLog(url, { horizonS: newS });
    await early.until("the log read anew", ({ resyncs }) => resyncs.includes("log_changed"));
    const { provenAt } = early.follower.freshness;
    await early.until("its end", ({ follower }) => follower.freshness.provenAt !== provenAt);
    const late = start(url, { clock, required: { ...REQUIRED, skewMs, horizonS: newS } });
    await late.untilFresh();
    clock.aheadMs = skewMs - 500;
    const oldEndMs = revokedAtMs + oldS * 1000 + skewMs;
    await late.until("the old horizon to pass", () => clock.wallMs() > oldEndMs + 500);
    const known = (aheadMs: number): readonly boolean[] => {
      clock.aheadMs = aheadMs;
      for (const { state } of [early, late]) state.forgetPassed();
      return [early.knows("s-1"), late.knows("s-1")];
    };
    expect(known(clock.aheadMs)).toEqual([true, true]);
    expect(known(newS * 1000)).toEqual([true, true]);
    expect(known(newS * 1000 + skewMs)).toEqual([false, false]);
  });

  it("has another number of partitions", async () => {
    await initLog(url);
    await redis(url, "HSET", KEYS.meta, "partitions", "2");
    await expectProblem("partitions_differ");
  });

  it("stands in a Redis whose clock is too far away", async () => {
    await initLog(url);
    await expectProblem("clock_difference", { clock: new ManualClock() });
  });

  it("belongs to the database and to another Redis process", async () => {
    await initLog(url, { authority: "database" });
    await redis(url, "HSET", KEYS.meta, "run_id", "another");
    await expectProblem("log_incomplete");
  });

  it("is being restored", async () => {
    await initLog(url, { authority: "database" });
    await redis(url, "HSET", KEYS.meta, "restoring", "marker");
    await expectProblem("log_restoring");
  });

  it("is not understood", async () => {
    await initLog(url);
    await redis(url, "HSET", KEYS.meta, "horizon_s", "long");
    await expectProblem("log_unreadable");
  });

  it("stands in a replica", async () => {
    await initLog(url);
    const replica = await RedisServer.start({
      args: ["--replicaof", "127.0.0.1", `${server.port}`],
    });
    try {
      const following = start(replica.url);
      await following.untilProblem("not_a_master");
      await following.follower.close();
    } finally {
      await replica.close();
    }
  });
});

describe("what a dead node left behind", () => {
  it("is removed by any other node, and nothing else", async () => {
    await initLog(url);
    const dead = "dead:0123456789ab:1";
    const seen = Date.now() - 301_000;
    const row = { seen, generation: "g", seq: 1, max_staleness_ms: 1000, on_stale: "deny" };
    await redis(url, "HSET", KEYS.nodes, dead, JSON.stringify(row));
    await redis(url, "XGROUP", "CREATE", KEYS.log, dead, "0");
    await redis(url, "XGROUP", "CREATE", KEYS.log, "somebody-elses", "0");
    const late = { ...row, seen: Date.now() - 200_000 };
    await redis(url, "HSET", KEYS.nodes, "late:0123456789ab:1", JSON.stringify(late));
    // A monotonic clock that runs fast brings the minute about.
    let aheadMs = 0;
    const clock = {
      wallMs: () => Date.now(),
      monotonicMs: () => performance.now() + aheadMs,
    };
    const following = start(url, {
      clock,
      required: { ...REQUIRED, skewMs: 90_000, horizonS: 1 },
    });
    await following.untilFresh();
    aheadMs = 61_000;
    await waitUntil(async () => (await redis(url, "HEXISTS", KEYS.nodes, dead)) === 0, {
      what: "the removal",
      timeoutMs: UNTIL_MS,
    });
    const names = await groupNames(url);
    expect(names).toContain("somebody-elses");
    expect(names).not.toContain(dead);
    expect(await redis(url, "HEXISTS", KEYS.nodes, "late:0123456789ab:1")).toBe(1);
  });
});
