/** What a relay may rely on, from every log admin of a log; there is one, in Redis. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitFor } from "../../dev/wait-for.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { APPEND_MAX_ENTRIES, type RestoredEntry } from "../../src/revocation-log/log-admin.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import { RedisPublisher } from "../../src/revocation-log/publisher-redis.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import {
  SILENT_AFTER_MS,
  type LogFacts,
  type LogMeta,
} from "../../src/revocation-log/revocation-log.js";
import { systemClock } from "../../src/runtime/clock.js";
import {
  HORIZON_S,
  KEYS,
  endOf,
  groupNames,
  initLog,
  publish,
  redis,
} from "../support/following.js";
import { setLogFormat } from "../../src/revocation-log/log-format-redis.js";
import { patientConnections } from "../support/patient-connections.js";

let server: RedisServer;
let url: string;
const open: RedisLogAdmin[] = [];

beforeAll(async () => {
  server = await RedisServer.start({ appendonly: true });
  url = server.url;
});
beforeEach(async () => {
  await redis(url, "FLUSHALL");
});
afterEach(() => {
  for (const logAdmin of open.splice(0)) logAdmin.close();
});
afterAll(() => server.close());

function keeperOf(of = url, connections = patientConnections): RedisLogAdmin {
  const logAdmin = new RedisLogAdmin(connections(of), KEYS);
  open.push(logAdmin);
  return logAdmin;
}

const entry = (session: string, atMs = Date.now()): RestoredEntry => ({
  revocation: endOf(session),
  atMs,
  eventId: `event-${session}`,
  reason: "stolen",
  actor: "ops",
  origin: undefined,
});
const goodLog = (generation = randomUUID()) =>
  ({ generation, horizonS: HORIZON_S, coversFromMs: 0, minReplicas: 0 }) as const;

async function restore(logAdmin: RedisLogAdmin, entries: readonly RestoredEntry[]) {
  const marker = randomUUID();
  await logAdmin.beginRestore(marker);
  await logAdmin.clear(marker);
  await logAdmin.append(marker, HORIZON_S, entries);
  return logAdmin.finish(marker, goodLog());
}

async function metaOf(logAdmin: RedisLogAdmin): Promise<LogMeta> {
  const { meta } = await logAdmin.facts();
  if (typeof meta === "string") throw new Error(`meta is ${meta}`);
  return meta;
}
async function factsForNodes(): Promise<LogFacts> {
  const log = revocationLogInRedis(patientConnections(url), KEYS, systemClock);
  const connection = await log.connect();
  try {
    return await connection.facts();
  } finally {
    connection.close();
  }
}
const metaStateOf = async (logAdmin: RedisLogAdmin) => {
  const { meta } = await logAdmin.facts();
  return typeof meta === "string" ? meta : `${meta.authority}${meta.restoring ? "+marker" : ""}`;
};
const publishCode = async (of = url) => {
  const outcome = await publish(of, endOf("s"));
  return outcome.published ? "published" : outcome.code;
};

describe("the facts", () => {
  it("name the server process, its clock and role, and whether there is a log", async () => {
    const logAdmin = keeperOf();
    const before = Date.now();
    const facts = await logAdmin.facts();
    expect(facts).toMatchObject({ role: "master", meta: "missing" });
    expect(facts.serverMs).toBeGreaterThanOrEqual(before - 1);
    expect(facts.serverMs).toBeLessThanOrEqual(Date.now() + 1);
    expect(String(await redis(url, "INFO", "server"))).toContain(`run_id:${facts.serverRunId}`);
    await initLog(url);
    expect(await metaOf(logAdmin)).toMatchObject({ seq: 1, authority: "redis", restoring: false });
  });

  it("can be had again once Redis is back, which is another process then", async () => {
    const mortal = await RedisServer.start();
    try {
      const logAdmin = keeperOf(mortal.url);
      const { serverRunId } = await logAdmin.facts();
      await mortal.stop();
      // At once, that is: not because a time was over.
      const refused = { code: "unavailable", message: expect.not.stringContaining(" within ") };
      await expect(logAdmin.facts()).rejects.toMatchObject(refused);
      await expect(logAdmin.facts()).rejects.toMatchObject(refused);
      await mortal.restart();
      expect((await logAdmin.facts()).serverRunId).not.toBe(serverRunId);
    } finally {
      await mortal.close();
    }
  });

  it("are an error within a bound where Redis does not answer", async () => {
    const paused = await RedisServer.start();
    try {
      const logAdmin = keeperOf(paused.url, (url) => redisConnections({ url }));
      const answer = () => logAdmin.facts().catch(() => undefined);
      await waitFor(answer, { what: "the facts", timeoutMs: 30_000 });
      paused.pause();
      for (const command of ["ROLE, TIME", "INFO"]) {
        await expect(logAdmin.facts()).rejects.toMatchObject({
          code: "unavailable",
          message: expect.stringContaining(`no answer to ${command} within 1000 ms`),
        });
      }
      paused.resume();
      const facts = await waitFor(answer, { what: "the facts again", timeoutMs: 30_000 });
      expect(facts.role).toBe("master");
    } finally {
      await paused.close();
    }
  });

  it("tell a replica, on which nothing can be restored", async () => {
    const args = ["--replicaof", "127.0.0.1", `${server.port}`];
    const replica = await RedisServer.start({ args });
    try {
      const logAdmin = keeperOf(replica.url);
      expect((await logAdmin.facts()).role).toBe("slave");
      const begun = logAdmin.beginRestore("marker");
      await expect(begun).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining("master"),
      });
    } finally {
      await replica.close();
    }
  });
});

describe("reading a log back", () => {
  it("gives everything that was published, in pages", async () => {
    await initLog(url, { authority: "database" });
    const publisher = new RedisPublisher({
      open: patientConnections(url),
      keys: KEYS,
      clock: systemClock,
      authority: "database",
      breakGlass: true,
      minReplicas: 0,
      clockSkewS: 5,
    });
    const atMs = Date.now() - 5000;
    const texts = { eventId: "e-1", reason: "stolen", actor: "cli:ops" };
    await publisher.publish({ revocation: endOf("s-1"), atMs, ...texts });
    publisher.close();
    await redis(url, "XADD", KEYS.log, "*", "v", "1", "seq", "3", "kind", "device_revoked");
    const logAdmin = keeperOf();
    const first = await logAdmin.entriesAfter(undefined, 2);
    expect(first).toMatchObject([
      { kind: "log_opened", seq: 1 },
      {
        kind: "revocation",
        seq: 2,
        revocation: endOf("s-1"),
        atMs,
        ...texts,
        origin: "break_glass",
      },
    ]);
    const rest = await logAdmin.entriesAfter(first.at(-1)?.id, 2);
    expect(rest).toMatchObject([{ kind: "unreadable", seq: 3 }]);
    expect(await logAdmin.entriesAfter(rest.at(-1)?.id, 2)).toEqual([]);
  });

  it("leaves out what was not given", async () => {
    await initLog(url);
    await publish(url, endOf("s-1"));
    const [, published] = await keeperOf().entriesAfter(undefined, 10);
    expect(published).toMatchObject({ reason: undefined, actor: undefined, origin: undefined });
  });

  it("gives nothing where there is no log", async () => {
    expect(await keeperOf().entriesAfter(undefined, 10)).toEqual([]);
  });
});

describe("a restore", () => {
  it("ends in a log of the database, complete for this server process", async () => {
    const logAdmin = keeperOf();
    const atMs = Date.now() - 300_000;
    expect(await restore(logAdmin, [entry("s-1", atMs), entry("s-2")])).toMatchObject({
      done: true,
      seq: 3,
    });
    const { serverRunId: runId } = await logAdmin.facts();
    const facts = { seq: 3, firstSeq: 1, authority: "database", restoring: false } as const;
    expect(await metaOf(logAdmin)).toMatchObject({ ...facts, runId, coversFromMs: 0 });
    const entries = await logAdmin.entriesAfter(undefined, 10);
    expect(entries).toMatchObject([
      { kind: "log_opened", seq: 1 },
      { seq: 2, ...entry("s-1", atMs) },
      { seq: 3, revocation: endOf("s-2") },
    ]);
    const raw = JSON.stringify(await redis(url, "XRANGE", KEYS.log, "-", "+"));
    expect(raw).toContain(`"forget_at","${atMs + HORIZON_S * 1000}"`);
  });

  it("writes the format that the log had, and the first where it is lost", async () => {
    const logAdmin = keeperOf();
    await restore(logAdmin, [entry("s-1")]);
    expect(await metaOf(logAdmin)).toMatchObject({ format: 1 });
    await setLogFormat(patientConnections(url), KEYS, 2);
    await restore(logAdmin, [entry("s-1"), entry("s-2")]);
    expect(await metaOf(logAdmin)).toMatchObject({ format: 2, seq: 3 });
    expect(await logAdmin.entriesAfter(undefined, 10)).toMatchObject([
      { kind: "log_opened", seq: 1 },
      { seq: 2, revocation: endOf("s-1"), eventId: "event-s-1", reason: "stolen", actor: "ops" },
      { seq: 3, revocation: endOf("s-2"), origin: undefined },
    ]);
    expect(JSON.stringify(await redis(url, "XRANGE", KEYS.log, "-", "+"))).toContain('"v2"');
    await redis(url, "FLUSHALL");
    await restore(logAdmin, [entry("s-1")]);
    expect(await metaOf(logAdmin)).toMatchObject({ format: 1, seq: 2 });
  });

  it("shows what stood in the log until it is cleared", async () => {
    await initLog(url);
    await publish(url, endOf("s-1"));
    const logAdmin = keeperOf();
    await logAdmin.beginRestore("marker");
    expect(await metaStateOf(logAdmin)).toBe("redis+marker");
    expect(await logAdmin.entriesAfter(undefined, 10)).toMatchObject([
      {},
      { eventId: expect.anything() },
    ]);
    await logAdmin.clear("marker");
    expect(await metaStateOf(logAdmin)).toBe("restoring");
    expect(await logAdmin.entriesAfter(undefined, 10)).toMatchObject([{ kind: "log_opened" }]);
  });

  it("lets nobody publish or open a log from its first step to its last", async () => {
    const logAdmin = keeperOf();
    const seen: unknown[] = [];
    const look = async () => seen.push(await publishCode(), (await initLog(url))[0]);
    await logAdmin.beginRestore("marker");
    await look();
    await logAdmin.clear("marker");
    await look();
    await logAdmin.append("marker", HORIZON_S, [entry("s-1")]);
    await look();
    expect(seen).toEqual(Array.from({ length: 3 }, () => ["log_restoring", "exists"]).flat());
    await logAdmin.finish("marker", goodLog());
    expect(await publishCode()).toBe("wrong_authority");
  });

  it.each(["beginRestore", "clear", "append"] as const)(
    "that was abandoned after %s leaves the marker, and is begun anew by another",
    async (last) => {
      await initLog(url, { authority: "database" });
      const dead = keeperOf();
      await dead.beginRestore("dead");
      if (last !== "beginRestore") await dead.clear("dead");
      if (last === "append") await dead.append("dead", HORIZON_S, [entry("s-dead")]);
      dead.close();
      const next = keeperOf();
      expect(await metaStateOf(next)).toBe(
        last === "beginRestore" ? "database+marker" : "restoring",
      );
      expect(await restore(next, [entry("s-1")])).toMatchObject({ done: true, seq: 2 });
      expect(await next.entriesAfter(undefined, 10)).toHaveLength(2);
      // It was only thought to be dead: whatever it tries next changes nothing.
      const refused = { done: false, code: "marker_lost" };
      expect(await dead.clear("dead")).toEqual(refused);
      expect(await dead.append("dead", HORIZON_S, [entry("s-dead")])).toEqual(refused);
      expect(await dead.finish("dead", goodLog())).toEqual(refused);
      expect((await metaOf(next)).seq).toBe(2);
    },
  );

  it("belongs to the last one who began", async () => {
    const [first, last] = [keeperOf(), keeperOf()];
    await first.beginRestore("first");
    await first.clear("first");
    await last.beginRestore("last");
    expect(await first.append("first", HORIZON_S, [entry("s-first")])).toMatchObject({
      done: false,
    });
    await last.clear("last");
    expect(await first.clear("first")).toEqual({ done: false, code: "marker_lost" });
    await last.append("last", HORIZON_S, [entry("s-last")]);
    expect(await first.finish("first", goodLog())).toMatchObject({ done: false });
    expect(await last.finish("last", goodLog())).toMatchObject({ done: true, seq: 2 });
  });

  it("cannot be gone on with by one who has not begun it", async () => {
    await keeperOf().beginRestore("marker");
    expect(await keeperOf().clear("marker")).toEqual({ done: false, code: "marker_lost" });
  });

  it.each([true, false])(
    "is refused in another server process, be it empty or with the old data (empty: %s)",
    async (empty) => {
      const mortal = await RedisServer.start({ appendonly: true });
      try {
        const logAdmin = keeperOf(mortal.url);
        await logAdmin.beginRestore("marker");
        await logAdmin.clear("marker");
        await mortal.restart({ empty });
        const changed = { done: false, code: "server_changed" };
        // The first call on the old connection may fail; its caller begins anew all the same.
        await logAdmin.facts().catch(() => undefined);
        expect(await logAdmin.append("marker", HORIZON_S, [entry("s")])).toEqual(changed);
        expect(await logAdmin.finish("marker", goodLog())).toEqual(changed);
        expect(await metaStateOf(logAdmin)).toBe(empty ? "missing" : "restoring");
        expect(await restore(logAdmin, [entry("s-1")])).toMatchObject({ done: true, seq: 2 });
      } finally {
        await mortal.close();
      }
    },
  );

  it("is not finished when entries are gone, or everything is", async () => {
    const logAdmin = keeperOf();
    await logAdmin.beginRestore("marker");
    await logAdmin.clear("marker");
    await logAdmin.append("marker", HORIZON_S, [entry("s-1"), entry("s-2")]);
    await redis(url, "XTRIM", KEYS.log, "MAXLEN", "2");
    expect(await logAdmin.finish("marker", goodLog())).toEqual({
      done: false,
      code: "entries_lost",
    });
    expect(await metaStateOf(logAdmin)).toBe("restoring");
    await redis(url, "FLUSHALL");
    expect(await logAdmin.finish("marker", goodLog())).toEqual({
      done: false,
      code: "marker_lost",
    });
    expect(await metaStateOf(logAdmin)).toBe("missing");
  });

  it("adds nothing to a log that was not cleared, and no more than a batch at once", async () => {
    await initLog(url);
    const logAdmin = keeperOf();
    await logAdmin.beginRestore("marker");
    await expect(logAdmin.append("marker", HORIZON_S, [entry("s")])).rejects.toThrow("before");
    await expect(logAdmin.finish("marker", goodLog())).rejects.toThrow("before");
    await logAdmin.clear("marker");
    const tooMany = Array.from({ length: APPEND_MAX_ENTRIES + 1 }, (_, i) => entry(`s-${i}`));
    expect(() => logAdmin.append("marker", HORIZON_S, tooMany)).toThrow(RangeError);
    expect(await redis(url, "XLEN", KEYS.log)).toBe(1);
  });

  it("says where the tail of the log before begins, to nodes that join it", async () => {
    await initLog(url);
    const logAdmin = keeperOf();
    const marker = randomUUID();
    await logAdmin.beginRestore(marker);
    const cleared = await logAdmin.clear(marker);
    const before = await logAdmin.append(marker, HORIZON_S, [entry("a"), entry("b")]);
    const none = await logAdmin.append(marker, HORIZON_S, []);
    const behind = await logAdmin.append(marker, HORIZON_S, [entry("c")]);
    const ids = (await logAdmin.entriesAfter(undefined, 10)).map(({ id }) => id);
    expect([cleared, before, none, behind]).toEqual([
      { done: true, seq: 1, id: ids[0] },
      { done: true, seq: 3, id: ids[2] },
      { done: true, seq: 3, id: ids[2] },
      { done: true, seq: 4, id: ids[3] },
    ]);
    const previous = { generation: "before", seq: 77, tailId: ids[2] ?? "", tailSeq: 3 };
    const finished = await logAdmin.finish(marker, { ...goodLog(), previous });
    expect(finished).toMatchObject({ done: true, seq: 4, id: ids[3] });
    expect((await factsForNodes()).previous).toEqual(previous);
    // The next log begins without it.
    await restore(logAdmin, []);
    expect((await factsForNodes()).previous).toBeUndefined();
  });

  it("may be of nothing at all", async () => {
    const logAdmin = keeperOf();
    expect(await restore(logAdmin, [])).toMatchObject({ done: true, seq: 1 });
  });
});

describe("what dead nodes left behind", () => {
  it("is removed by the server's clock, and nothing else", async () => {
    await initLog(url);
    const row = { generation: "g", seq: 1, max_staleness_ms: 1000, on_stale: "deny" };
    const add = async (group: string, agoMs: number) => {
      const text = JSON.stringify({ ...row, seen: Date.now() - agoMs });
      await redis(url, "HSET", KEYS.nodes, group, text);
      await redis(url, "XGROUP", "CREATE", KEYS.log, group, "0");
    };
    await add("dead:0123456789ab:1", SILENT_AFTER_MS + 1000);
    await add("late:0123456789ab:1", SILENT_AFTER_MS - 10_000);
    await redis(url, "XGROUP", "CREATE", KEYS.log, "left:0123456789ab:1", "0");
    await redis(url, "XGROUP", "CREATE", KEYS.log, "somebody-elses", "0");
    const logAdmin = keeperOf();
    expect(await logAdmin.removeSilentRows(SILENT_AFTER_MS)).toBe(2);
    expect(await groupNames(url)).toEqual(["late:0123456789ab:1", "somebody-elses"]);
    expect(await redis(url, "HKEYS", KEYS.nodes)).toEqual(["late:0123456789ab:1"]);
    expect(await logAdmin.removeSilentRows(SILENT_AFTER_MS)).toBe(0);
  });
});
