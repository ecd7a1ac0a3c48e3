import { afterEach, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { RevocationLogError, type RevocationLog } from "../../src/revocation-log/revocation-log.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { PublishOutcome } from "../../src/revocation-log/publisher.js";
import {
  KEYS,
  MAX_STALENESS_MS,
  UNTIL_MS,
  endOf,
  follow,
  groupNames,
  initLog,
  publish,
  redis,
  type Following,
} from "../support/following.js";
import { publisherTo, type KeptPublisher } from "../support/kept-publisher.js";
import { TcpProxy } from "../support/tcp-proxy.js";

let server: RedisServer;
let proxy: TcpProxy;
let following: Following;
let publisher: KeptPublisher;

beforeEach(async () => {
  server = await RedisServer.start({ appendonly: true });
  proxy = await TcpProxy.start(server.port);
  await initLog(server.url);
  publisher = publisherTo(server.url);
  following = follow(proxy.url);
  await following.untilFresh();
});
afterEach(async () => {
  proxy.mend();
  server.resume();
  await following.follower.close();
  publisher.close();
  await proxy.close();
  await server.close();
});

/** How many of the messages say this. */
const said = (messages: Following["messages"], text: string): number =>
  messages.filter((message) => message?.includes(text)).length;

const untilStale = (): Promise<void> =>
  following.until("staleness", ({ follower }) => follower.stalenessMs() > MAX_STALENESS_MS);

const pendingCount = async (): Promise<number> => {
  const reply = await redis(
    server.url,
    "XPENDING",
    KEYS.log,
    following.follower.status().group ?? "",
  );
  return Array.isArray(reply) ? Number(reply[0]) : NaN;
};

/**
 * Publishes so that the entry is delivered and the reply lost. The entry must come while a read is
 * blocked on the server; should it come between two reads, another one is tried.
 */
async function publishIntoTheVoid(): Promise<{ session: string; outcome: PublishOutcome }> {
  const { follower } = following;
  // Opens the connection, which would take a part of the time in which a read is blocked.
  await publisher.publish(endOf("before"));
  await following.until("before", ({ knows }) => knows("before"));
  for (let attempt = 1; attempt <= 20; attempt += 1) {
    const session = `lost-${attempt}`;
    // After a proof, the next read is sent at once and blocks for a quarter of a second.
    const { provenAt } = follower.freshness;
    await following.until("the next proof", () => follower.freshness.provenAt !== provenAt);
    proxy.swallowReplies();
    const outcome = await publisher.publish(endOf(session));
    if ((await pendingCount()) === 1 && !following.knows(session)) return { session, outcome };
    proxy.cutConnections();
    proxy.mend();
    await following.until(session, ({ knows }) => knows(session));
  }
  throw new Error("no read was blocked at the right moment");
}

describe("a lost connection", () => {
  it("keeps the group: what was delivered and never arrived is read again", async () => {
    const { session } = await publishIntoTheVoid();
    proxy.cutConnections();
    proxy.mend();
    await following.until("it", ({ knows }) => knows(session));
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start"]);
    await waitUntil(async () => (await pendingCount()) === 0, {
      what: "the acknowledgement",
      timeoutMs: UNTIL_MS,
    });
  });

  it("takes a pending entry that was deleted meanwhile for a gap", async () => {
    const { outcome } = await publishIntoTheVoid();
    await redis(server.url, "XDEL", KEYS.log, outcome.published ? outcome.entryId : "");
    proxy.cutConnections();
    proxy.mend();
    await following.until("a gap", ({ resyncs }) => resyncs.includes("gap"));
    await untilStale();
  });

  it("goes stale when cut off, keeps what it knows, and comes back by itself", async () => {
    await publish(server.url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    proxy.cutOff();
    await untilStale();
    await following.untilProblem("unreachable");
    await publish(server.url, endOf("meanwhile"));
    expect(following.knows("known")).toBe(true);
    expect(following.knows("meanwhile")).toBe(false);
    proxy.mend();
    await following.until("meanwhile", ({ knows }) => knows("meanwhile"));
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start"]);
  });

  it("is noticed on a link that swallows everything without closing", async () => {
    proxy.hang();
    const acceptedBefore = proxy.accepted;
    await following.until("another attempt", () => proxy.accepted > acceptedBefore);
    await untilStale();
    proxy.mend();
    await following.untilFresh();
  });
});

describe("Redis in trouble", () => {
  it("stopped: stale within the limit, fresh again when it goes on", async () => {
    server.pause();
    const stoppedAtMs = performance.now();
    await untilStale();
    // No proof is of a later moment, so it was stale a second after that one, to the millisecond.
    const { provenAt } = following.follower.freshness;
    expect(provenAt?.monotonicMs).toBeLessThanOrEqual(stoppedAtMs);
    server.resume();
    await following.untilFresh();
  });

  it("killed and back with its data: the whole log is read again", async () => {
    await publish(server.url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    await server.kill();
    await untilStale();
    await server.restart();
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start", "server_changed"]);
    await publish(server.url, endOf("new"));
    await following.until("new", ({ knows }) => knows("new"));
    expect(following.knows("known")).toBe(true);
    expect(await groupNames(server.url)).toHaveLength(1);
  });

  it("killed and back empty: stale until somebody opens a log, and it says so", async () => {
    await publish(server.url, endOf("known"));
    await following.until("known", ({ knows }) => knows("known"));
    await server.kill();
    await server.restart({ empty: true });
    expect(await following.untilProblem("log_missing")).toContain("is gone");
    await untilStale();
    expect(following.knows("known")).toBe(true);
    await initLog(server.url, { nothingWasRevoked: false });
    await following.untilFresh();
    expect(following.follower.freshness.coversFromMs).toBeGreaterThan(0);
  });

  it("without enough replicas (NOREPLICAS): stale, then fresh without reading the log again", async () => {
    await redis(server.url, "CONFIG", "SET", "min-replicas-to-write", "1");
    await untilStale();
    await following.until("the reason", ({ messages }) => said(messages, "NOREPLICAS") > 0);
    await redis(server.url, "CONFIG", "SET", "min-replicas-to-write", "0");
    await following.untilFresh();
    expect(following.resyncs).toEqual(["start"]);
  });

  it("without memory (OOM): says so once, and what it reads still counts", async () => {
    await redis(server.url, "CONFIG", "SET", "maxmemory", "1");
    await following.until("it", ({ messages }) => said(messages, "maxmemory") > 0);
    const { provenAt } = following.follower.freshness;
    await following.until(
      "a later proof",
      ({ follower }) =>
        (follower.freshness.provenAt?.monotonicMs ?? 0) > (provenAt?.monotonicMs ?? 0) + 2000,
    );
    // Again only where a slow moment came between, and was told as well.
    const { messages } = following;
    expect(new Set(following.problems)).toEqual(new Set(["unreachable"]));
    const once = said(messages, "maxmemory") <= messages.length - said(messages, "maxmemory") + 1;
    expect({ once, messages }).toEqual({ once: true, messages });
    await redis(server.url, "CONFIG", "SET", "maxmemory", "0");
    await following.until("its end", ({ problems }) => problems.includes(undefined));
    expect(following.resyncs).toEqual(["start"]);
  });

  it("asking for a password: says so, whatever else the connection says", async () => {
    await redis(server.url, "CONFIG", "SET", "requirepass", "secret");
    proxy.cutConnections();
    await following.until("the reason", ({ messages }) => said(messages, "NOAUTH") > 0);
    const authorised = server.url.replace("//", "//:secret@");
    await redis(authorised, "CONFIG", "SET", "requirepass", "");
    await following.untilFresh();
  });

  it("its group removed: joins with another one", async () => {
    const group = following.follower.status().group ?? "";
    await redis(server.url, "XGROUP", "DESTROY", KEYS.log, group);
    await following.until("a resync", ({ resyncs }) => resyncs.includes("unexpected_reply"));
    await publish(server.url, endOf("after"));
    await following.until("after", ({ knows }) => knows("after"));
    await following.until("its group", ({ follower }) => follower.status().group !== group);
  });

  it("demoted to a replica: stale, and it says so", async () => {
    await redis(server.url, "REPLICAOF", "127.0.0.1", "1");
    await following.untilProblem("not_a_master");
    await untilStale();
    await redis(server.url, "REPLICAOF", "NO", "ONE");
    await following.untilFresh();
  });
});

describe("closing", () => {
  /** As long as a program has to end; the bounds of what is waited for are below 6 s together. */
  const CLOSE_MAX_MS = 10_000;

  it("ends within its bounds while Redis is stopped", async () => {
    server.pause();
    const from = performance.now();
    await following.follower.close();
    expect(performance.now() - from).toBeLessThan(CLOSE_MAX_MS);
  });

  it("ends within its bounds while Redis cannot be reached", async () => {
    proxy.cutOff();
    const from = performance.now();
    await following.follower.close();
    expect(performance.now() - from).toBeLessThan(CLOSE_MAX_MS);
  });
});

describe("a clock that is set", () => {
  it("makes the node read the whole log again, and stale at once if it was set forth", async () => {
    let setByMs = 0;
    const clock = {
      wallMs: () => Date.now() + setByMs,
      monotonicMs: () => performance.now(),
    };
    const other = follow(server.url, { clock });
    try {
      await other.untilFresh();
      setByMs = 60_000;
      expect(other.follower.stalenessMs()).toBeGreaterThan(MAX_STALENESS_MS);
      await other.untilProblem("clock_difference");
      setByMs = 0;
      await other.until("another reading", ({ resyncs }) => resyncs.length > 1);
      await other.untilFresh();
      expect(other.resyncs).toEqual(["start", "clock_jumped"]);
    } finally {
      await other.follower.close();
    }
  });
});

it("leaves no row behind where a group could not be made in between", async () => {
  const inRedis = revocationLogInRedis(redisConnections({ url: server.url }), KEYS, systemClock);
  let fails = false;
  const log: RevocationLog = {
    connect: async () => {
      const connection = await inRedis.connect();
      const join = connection.join.bind(connection);
      return Object.assign(connection, {
        join: (...args: Parameters<typeof join>) => {
          if (!fails) return join(...args);
          fails = false;
          return Promise.reject(new RevocationLogError("unavailable", "cut off"));
        },
      });
    },
  };
  const one = follow(server.url, { log });
  try {
    await one.untilFresh();
    const { group: first = "" } = one.follower.status();
    fails = true;
    await redis(server.url, "XGROUP", "DESTROY", KEYS.log, first);
    await one.until(
      "another group",
      ({ follower }) => follower.status().group?.endsWith(":3") === true,
    );
    await one.until("following", ({ follower }) => follower.status().state === "following");
    const { group } = one.follower.status();
    const names = await redis(server.url, "HKEYS", KEYS.nodes);
    expect(names).toContain(group);
    expect(names).not.toContain(first);
  } finally {
    await one.follower.close();
  }
  const left = await redis(server.url, "HKEYS", KEYS.nodes);
  expect(left).toEqual([following.follower.status().group]);
});
