/** What the limits do while their Redis is away, slow or unwilling. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { RedisLoginLimits } from "../../src/sessions/limits/login-limits-redis.js";
import { DEFAULT_LIMITS } from "../../src/sessions/limits/login-limits.js";
import { redis, UNTIL_MS } from "../support/following.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** A busy machine is not to be mistaken for an absent Redis. */
const PATIENT_MS = 10_000;
/** Where a Redis that says nothing has to be given up, and one that is slow must not be. */
const GIVES_UP_MS = 2500;
const AT_ONCE = 20;
/** Late enough for a busy machine, and far below so many waits one after the other. */
const TOGETHER_MS = 10_000;
/** Where nothing depends on how long Redis may take. */
const IMPATIENT_MS = 200;
const SETTINGS = { ...DEFAULT_LIMITS, account: { max: 3, windowS: 600 } };
const ACTOR = { tenant: "acme", user: "u-1" };
const ATTEMPT = { tenant: "acme", login: "ana@example.test", address: "192.0.2.7" };

let server: RedisServer;
let opened: RedisLoginLimits[] = [];
let events: string[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});
beforeEach(async () => {
  await redis(server.url, "FLUSHALL");
  events = [];
});
afterEach(() => {
  for (const limits of opened) limits.close();
  opened = [];
});
afterAll(async () => {
  await server.close();
});

function open(url: string, answerMaxMs: number): RedisLoginLimits {
  const limits = new RedisLoginLimits({
    redis: { url },
    answerMaxMs,
    settings: SETTINGS,
    onFallback: (reason) => events.push(`fallback: ${reason}`),
    onRecovered: () => events.push("recovered"),
  });
  opened.push(limits);
  return limits;
}

async function until(limits: RedisLoginLimits, where: "redis" | "process"): Promise<void> {
  await waitUntil(() => limits.countsIn === where, {
    what: `counting in ${where}`,
    timeoutMs: UNTIL_MS,
  });
}

async function openInRedis(url: string, answerMaxMs = PATIENT_MS): Promise<RedisLoginLimits> {
  const limits = open(url, answerMaxMs);
  await until(limits, "redis");
  return limits;
}

async function untilEvents(count: number): Promise<void> {
  await waitUntil(() => events.length >= count, { what: `${count} events`, timeoutMs: UNTIL_MS });
}

async function admittedOf(limits: RedisLoginLimits, attempts: number): Promise<number> {
  let admitted = 0;
  for (let i = 0; i < attempts; i++) {
    if ((await limits.admit(ATTEMPT)).admitted) admitted += 1;
  }
  return admitted;
}

const kinds = () => events.map((event) => event.split(":")[0]);

describe("limits in Redis", () => {
  it("are shared by all instances, and survive each of them", async () => {
    const [one, other] = [await openInRedis(server.url), await openInRedis(server.url)];
    expect(await admittedOf(one, 2)).toBe(2);
    expect(await admittedOf(other, 2)).toBe(1);
    one.close();
    expect(await admittedOf(await openInRedis(server.url), 1)).toBe(0);
    expect(events).toEqual([]);
  });

  it("keep no name and no address there, and every key only for its window", async () => {
    const limits = await openInRedis(server.url);
    await limits.admit(ATTEMPT);
    await limits.admitRefresh(ATTEMPT);
    await limits.admitAct("user_act", ACTOR);
    await limits.admitAct("admin_act", ACTOR);
    const keys = await redis(server.url, "KEYS", "*");
    if (!Array.isArray(keys)) throw new Error("no keys");
    const names = keys.map(String).filter((name) => !name.includes(":probe:"));
    expect(names.map((name) => name.replace(/[\w-]{22}$/, "…")).sort()).toEqual([
      "sekisho:limits:account:…",
      "sekisho:limits:address:…",
      "sekisho:limits:admin_act:…",
      "sekisho:limits:refresh:…",
      "sekisho:limits:spread:…",
      "sekisho:limits:user_act:…",
    ]);
    for (const name of names) {
      expect(Number(await redis(server.url, "PTTL", name))).toBeGreaterThan(50_000);
    }
    const spread = names.find((name) => name.includes("spread")) ?? "";
    const members = await redis(server.url, "ZRANGE", spread, "0", "-1");
    expect(members).toEqual([expect.stringMatching(/^[\w-]{22}$/)]);
  });

  it("count an act by one command", async () => {
    const limits = await openInRedis(server.url);
    await redis(server.url, "CONFIG", "RESETSTAT");
    await limits.admitAct("user_act", ACTOR);
    const stats = String(await redis(server.url, "INFO", "commandstats"));
    const calls = [...stats.matchAll(/cmdstat_([a-z|]+):calls=(\d+)/g)].map(
      ([, name = "", count = ""]) => `${name} ${count}`,
    );
    const asking = calls.filter((call) => !/^(config|info)/.test(call));
    // The script and what it calls within Redis.
    expect(asking.sort()).toEqual(["evalsha 1", "incrby 1", "pttl 1", "set 1"]);
  });

  it("need no more rights than these", async () => {
    const rights =
      "on >p resetkeys resetchannels -@all ~sekisho:limits:* +eval +evalsha +set +get +incrby " +
      "+expire +pexpire +pttl +time +zadd +zcard +zrange +zrem +zremrangebyscore +zscore +multi +exec";
    await redis(server.url, "ACL", "SETUSER", "limits", ...rights.split(" "));
    await redis(server.url, "SCRIPT", "FLUSH");
    const limits = await openInRedis(server.url.replace("//", "//limits:p@"));
    expect(await admittedOf(limits, 4)).toBe(3);
    await limits.admit({ ...ATTEMPT, login: "bo" });
    await limits.succeeded({ ...ATTEMPT, login: "bo" });
    expect(await limits.admitRefresh(ATTEMPT)).toEqual({ admitted: true });
    expect(await limits.admitAct("admin_act", ACTOR)).toEqual({ admitted: true });
    expect(limits.countsIn).toBe("redis");
    expect(events).toEqual([]);
  });

  it("give what is wrong with the connection as the reason, and no password", async () => {
    const limits = open(server.url.replace("//", "//nobody:hidden-word@"), PATIENT_MS);
    await untilEvents(1);
    expect(events[0]).toMatch(/WRONGPASS/);
    expect(events.join()).not.toContain("hidden-word");
    expect(await admittedOf(limits, 4)).toBe(3);
    expect(kinds()).toEqual(["fallback"]);
  });
});

describe("limits whose Redis is away", () => {
  it("count in the process at once when it is killed, and in Redis when it is back", async () => {
    const mortal = await RedisServer.start();
    const limits = await openInRedis(mortal.url);
    expect(await admittedOf(limits, 4)).toBe(3);
    await mortal.kill();
    expect(await admittedOf(limits, 5)).toBe(3);
    await until(limits, "process");
    expect(kinds()).toEqual(["fallback"]);
    await mortal.restart({ empty: true });
    await until(limits, "redis");
    expect(await admittedOf(limits, 4)).toBe(3);
    expect(kinds()).toEqual(["fallback", "recovered"]);
    await mortal.close();
  });

  it("wait for one that hangs only once, and forget nothing that it had counted", async () => {
    const limits = await openInRedis(server.url, GIVES_UP_MS);
    expect(await admittedOf(limits, 2)).toBe(2);
    server.pause();
    try {
      // Many at once wait together, not one after the other.
      const begin = performance.now();
      const all = await Promise.all(Array.from({ length: AT_ONCE }, () => limits.admit(ATTEMPT)));
      expect(performance.now() - begin).toBeLessThan(TOGETHER_MS);
      expect(all.filter(({ admitted }) => admitted)).toHaveLength(3);
      expect(limits.countsIn).toBe("process");
      const again = performance.now();
      for (let i = 0; i < AT_ONCE; i++) await limits.admit({ ...ATTEMPT, login: "bo" });
      expect(performance.now() - again).toBeLessThan(TOGETHER_MS);
      await limits.succeeded(ATTEMPT);
      expect(kinds()).toEqual(["fallback"]);
      expect(events[0]).toMatch(/timed out|no answer/);
    } finally {
      server.resume();
    }
    await until(limits, "redis");
    expect(await admittedOf(limits, 4)).toBeLessThanOrEqual(1);
    expect(kinds()).toEqual(["fallback", "recovered"]);
  });

  it("hold up no act, and go on counting each account's", async () => {
    const limits = await openInRedis(server.url, GIVES_UP_MS);
    const act = (user: string) => limits.admitAct("user_act", { tenant: "acme", user });
    server.pause();
    try {
      const begin = performance.now();
      const users = Array.from({ length: AT_ONCE }, (_, index) => `user ${index}`);
      const all = await Promise.all(users.map(act));
      expect(performance.now() - begin).toBeLessThan(TOGETHER_MS);
      expect(all).toEqual(users.map(() => ({ admitted: true })));
      expect(limits.countsIn).toBe("process");
      for (let i = 1; i < SETTINGS.user_act.max; i++) {
        expect(await act("user 0")).toEqual({ admitted: true });
      }
      expect(await act("user 0")).toMatchObject({ admitted: false, limit: "user_act" });
      expect(await act("user 1")).toEqual({ admitted: true });
    } finally {
      server.resume();
    }
    await until(limits, "redis");
    expect(kinds()).toEqual(["fallback", "recovered"]);
  });

  it("tell each change once, however often it goes and comes", async () => {
    const proxy = await TcpProxy.start(server.port);
    const limits = await openInRedis(proxy.url, IMPATIENT_MS);
    for (const lose of ["cutOff", "swallowReplies", "hang"] as const) {
      events = [];
      proxy[lose]();
      const all = Promise.all(Array.from({ length: 10 }, () => limits.admit(ATTEMPT)));
      await until(limits, "process");
      await all;
      const attempts = proxy.accepted;
      await waitUntil(() => proxy.accepted >= attempts + 2, {
        what: "it to try again",
        timeoutMs: UNTIL_MS,
      });
      expect(kinds()).toEqual(["fallback"]);
      proxy.mend();
      await until(limits, "redis");
      expect(kinds()).toEqual(["fallback", "recovered"]);
    }
    await proxy.close();
  });

  it("do not take a Redis for well that answers and may not write", async () => {
    const limits = await openInRedis(server.url);
    await redis(server.url, "CONFIG", "SET", "min-replicas-to-write", "1");
    try {
      expect(await admittedOf(limits, 5)).toBe(3);
      expect(events[0]).toMatch(/NOREPLICAS/);
      const connections = async () => {
        const stats = String(await redis(server.url, "INFO", "stats"));
        return Number(/total_connections_received:(\d+)/.exec(stats)?.[1]);
      };
      // Each look is a connection too, so only what exceeds the looks are tries of the limits.
      const before = await connections();
      let looks = 0;
      const retried = async () => (await connections()) - before - (looks += 1) >= 2;
      await waitUntil(retried, { what: "two more tries", timeoutMs: UNTIL_MS });
      expect(kinds()).toEqual(["fallback"]);
    } finally {
      await redis(server.url, "CONFIG", "SET", "min-replicas-to-write", "0");
    }
    await until(limits, "redis");
    expect(kinds()).toEqual(["fallback", "recovered"]);
  });

  it("start without it, and use it as soon as it is there", async () => {
    const late = await RedisServer.start();
    await late.kill();
    const limits = open(late.url, PATIENT_MS);
    expect(await admittedOf(limits, 5)).toBe(3);
    await untilEvents(1);
    expect(events[0]).toMatch(/ECONNREFUSED/);
    await late.restart();
    await until(limits, "redis");
    expect(kinds()).toEqual(["fallback", "recovered"]);
    await late.close();
  });

  it("answer even after they were closed, without a word", async () => {
    const limits = await openInRedis(server.url);
    limits.close();
    limits.close();
    expect(await admittedOf(limits, 5)).toBe(3);
    await limits.succeeded(ATTEMPT);
    expect(events).toEqual([]);
  });
});
