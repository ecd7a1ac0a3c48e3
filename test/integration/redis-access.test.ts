import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import { RedisLoginLimits } from "../../src/sessions/limits/login-limits-redis.js";
import { DEFAULT_LIMITS } from "../../src/sessions/limits/login-limits.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import { setRetirement } from "../../src/revocation-log/log-retirement-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import { ReceiptCollector } from "../../src/revocation-log/receipt.js";
import { SILENT_AFTER_MS } from "../../src/revocation-log/revocation-log.js";
import { HORIZON_S, KEYS, endOf, follow, initLog, redis } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";

/** As the session service counts attempts to log in. */
const LIMIT = "sekisho:limits:account:somebody";

let server: RedisServer;
let as: (user: "node" | "publisher" | "admin") => string;

beforeAll(async () => {
  // The shipped file as it stands: a Redis that did not understand it would not start.
  const file = join(repositoryRoot(), "deploy/redis/users.acl");
  server = await RedisServer.start({ args: ["--aclfile", file] });
  const at = (user: string, password: string): string =>
    `redis://${user}:set-a-password-for-${password}@127.0.0.1:${server.port}`;
  as = (user) =>
    user === "admin" ? at(user, "the-administrator") : at(`sekisho-${user}`, `${user}s`);
});
afterAll(() => server.close());

describe("the shipped Redis users", () => {
  it("are enough for a publisher to open a log, publish, and read receipts, and for a node to follow", async () => {
    await initLog(as("publisher"));
    const following = follow(as("node"));
    const open = patientConnections(as("publisher"));
    const options = {
      open,
      keys: KEYS,
      clock: systemClock,
      authority: "redis",
      minReplicas: 0,
      clockSkewS: 5,
    } as const;
    const publisher = new RedisPublisher(options);
    const rows = new RedisNodeRows(open, KEYS);
    try {
      await following.untilFresh();
      const outcome = await publisher.publish({
        revocation: endOf("s-1"),
        eventId: randomUUID(),
        atMs: Date.now(),
        reason: undefined,
        actor: undefined,
      });
      if (!outcome.published) throw new Error(outcome.message);
      const receipt = await new ReceiptCollector(rows, systemClock).waitFor(outcome, 20_000);
      expect(receipt.applied).toHaveLength(1);
      expect(following.knows("s-1")).toBe(true);
      await following.follower.close();
      expect(await redis(as("admin"), "HLEN", KEYS.nodes)).toBe(0);
      expect(following.resyncs).toEqual(["start"]);
    } finally {
      publisher.close();
      rows.close();
      await following.follower.close();
    }
  });

  it("are enough for a publisher to keep a log: read it back, restore it, trim it", async () => {
    const logAdmin = new RedisLogAdmin(patientConnections(as("publisher")), KEYS);
    const following = follow(as("node"));
    try {
      const marker = randomUUID();
      await logAdmin.beginRestore(marker);
      expect((await logAdmin.facts()).role).toBe("master");
      await logAdmin.entriesAfter(undefined, 10);
      await logAdmin.clear(marker);
      const texts = { reason: undefined, actor: undefined, origin: undefined };
      const entry = { revocation: endOf("s-2"), atMs: Date.now(), eventId: "e", ...texts };
      await logAdmin.append(marker, HORIZON_S, [entry]);
      const log = { generation: randomUUID(), coversFromMs: 0, minReplicas: 0 };
      const finished = await logAdmin.finish(marker, { ...log, horizonS: HORIZON_S });
      expect(finished).toMatchObject({ done: true, seq: 2 });
      await following.untilFresh();
      expect(following.knows("s-2")).toBe(true);
      await redis(as("admin"), "XGROUP", "CREATE", KEYS.log, "dead:0123456789ab:1", "0");
      expect(await logAdmin.removeSilentRows(SILENT_AFTER_MS)).toBe(1);
      const known = { generation: log.generation, knownUpToId: "0-1", nowMs: Date.now() };
      expect(await logAdmin.trim(known)).toBe(0);
      const retirement = { generation: log.generation, minReplicas: 0 };
      const publisher = patientConnections(as("publisher"));
      const retired = await setRetirement(publisher, KEYS, { ...retirement, to: "retired" });
      expect(retired).toMatchObject({ kind: "done" });
      expect(await logAdmin.keep(log.generation)).toBeUndefined();
      await setRetirement(publisher, KEYS, { ...retirement, to: "in_use" });
      expect(await logAdmin.keep(log.generation)).toBeDefined();
    } finally {
      logAdmin.close();
      await following.follower.close();
    }
  });

  it("are enough for a publisher to count logins, refreshes and acts", async () => {
    const problems: string[] = [];
    const once = { max: 1, windowS: 60 };
    const limits = new RedisLoginLimits({
      redis: { url: as("publisher") },
      settings: { ...DEFAULT_LIMITS, spread: once, user_act: once, admin_act: once },
      onFallback: (reason) => problems.push(reason),
      onRecovered: () => undefined,
      answerMaxMs: 20_000,
    });
    try {
      await waitUntil(() => limits.countsIn === "redis" || problems.length > 0, {
        what: "Redis to count",
        timeoutMs: 30_000,
      });
      const attempt = { tenant: "acme", login: "ann", address: "192.0.2.1" };
      expect(await limits.admit(attempt)).toEqual({ admitted: true });
      await limits.succeeded(attempt);
      expect(await limits.admit({ ...attempt, login: "ben" })).toEqual({ admitted: true });
      expect(await limits.admit(attempt)).toMatchObject({ admitted: false, limit: "spread" });
      expect(await limits.admitRefresh(attempt)).toEqual({ admitted: true });
      const actor = { tenant: "acme", user: "u-1" };
      for (const limit of ["user_act", "admin_act"] as const) {
        expect(await limits.admitAct(limit, actor)).toEqual({ admitted: true });
        expect(await limits.admitAct(limit, actor)).toMatchObject({ admitted: false, limit });
      }
      expect([limits.countsIn, problems]).toEqual(["redis", []]);
    } finally {
      limits.close();
    }
  });

  it.each([
    ["XADD", KEYS.log, "*", "v", "1"],
    ["DEL", KEYS.log],
    ["XTRIM", KEYS.log, "MAXLEN", "0"],
    ["XDEL", KEYS.log, "1-1"],
    ["HSET", KEYS.meta, "seq", "1"],
    ["XGROUP", "SETID", KEYS.log, "g", "$"],
    ["EVAL", "return 1", "0"],
    ["FLUSHALL"],
    ["GET", "anything-else"],
    ["GET", LIMIT],
    ["SET", LIMIT, "0"],
    ["CONFIG", "GET", "*"],
  ])("keep a node from %s %s", async (command, ...args) => {
    await expect(redis(as("node"), command, ...args)).rejects.toThrow(/NOPERM|permissions/);
  });

  it.each([["PING"], ["GET", "anything"], ["XRANGE", KEYS.log, "-", "+"]])(
    "keep whoever has no password from %s",
    async (command, ...args) => {
      await expect(redis(server.url, command, ...args)).rejects.toThrow(/NOAUTH/);
    },
  );

  it.each([
    ["FLUSHALL"],
    ["GET", "anything-else"],
    ["CONFIG", "GET", "*"],
    ["ACL", "LIST"],
    ["XREADGROUP", "GROUP", "g", "c", "STREAMS", KEYS.log, ">"],
    ["XGROUP", "CREATE", KEYS.log, "g", "0"],
    ["XINFO", "STREAM", KEYS.log],
    ["HDEL", "anything-else", "field"],
    ["SET", "anything-else", "1"],
    ["ZADD", "anything-else", "1", "member"],
    ["EVAL", "return redis.call('GET', KEYS[1])", "1", "anything-else"],
    ["GET", KEYS.log],
    ["HSET", LIMIT, "field", "value"],
    ["DEL", LIMIT],
    ["REPLICAOF", "NO", "ONE"],
  ])("keep a publisher from %s", async (command, ...args) => {
    await expect(redis(as("publisher"), command, ...args)).rejects.toThrow(/NOPERM|permissions/);
  });
});
