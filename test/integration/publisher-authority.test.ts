import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { decodeEntry } from "../../src/revocation-log/entry-decoding.js";
import { RedisPublisher, type PublisherOptions } from "../../src/revocation-log/publisher-redis.js";
import type { PublishOutcome } from "../../src/revocation-log/publisher.js";
import type { LogConnection } from "../../src/revocation-log/revocation-log.js";
import { revocationLogInRedis } from "../../src/revocation-log/revocation-log-redis.js";
import { HORIZON_S, KEYS, endOf, follow, initLog, redis } from "../support/following.js";
import { ManualClock } from "../support/manual-clock.js";
import { patientConnections } from "../support/patient-connections.js";

let server: RedisServer;
let url: string;
let reader: LogConnection;

beforeAll(async () => {
  server = await RedisServer.start();
  url = server.url;
  reader = await revocationLogInRedis(patientConnections(url), KEYS, systemClock).connect();
});
beforeEach(async () => {
  await redis(url, "FLUSHALL");
});
afterAll(async () => {
  reader.close();
  await server.close();
});

async function publish(
  revocation: Revocation,
  change: Partial<PublisherOptions> & {
    readonly atMs?: number;
    readonly generation?: string | undefined;
  } = {},
): Promise<PublishOutcome> {
  const { atMs = Date.now(), generation, ...options } = change;
  const publisher = new RedisPublisher({
    open: patientConnections(url),
    keys: KEYS,
    clock: systemClock,
    authority: "redis",
    minReplicas: 0,
    clockSkewS: 5,
    ...options,
  });
  try {
    const rest = { eventId: randomUUID(), reason: undefined, actor: undefined };
    return await publisher.publish({ revocation, atMs, generation, ...rest });
  } finally {
    publisher.close();
  }
}
const codeOf = (outcome: PublishOutcome) => (outcome.published ? "published" : outcome.code);

async function lastEntry() {
  const entry = (await reader.page(undefined, 1000)).map(decodeEntry).at(-1);
  if (entry?.kind !== "revocation") throw new Error("no revocation");
  return entry;
}

/** The time now, in whole seconds, for as long as a test takes. */
const stoppedClock = () => new ManualClock(Math.floor(Date.now() / 1000) * 1000);

const cutOff = (issuedBefore: number): Revocation => ({
  kind: "user_revoked",
  tenant: "acme",
  user: "ann",
  epoch: undefined,
  issuedBefore,
});

describe("publishing what was decided earlier", () => {
  it("keeps the time of the decision, and is remembered for a horizon from now", async () => {
    await initLog(url);
    const nowMs = Date.now();
    const atMs = nowMs - 600_000;
    expect(codeOf(await publish(endOf("s-1"), { atMs }))).toBe("published");
    const entry = await lastEntry();
    expect(entry.atMs).toBe(atMs);
    expect(entry.forgetAtMs).toBeGreaterThanOrEqual(nowMs + HORIZON_S * 1000);
  });

  it("measures a cut-off from now when the decision is long past", async () => {
    await initLog(url);
    const clock = stoppedClock();
    const nowS = clock.wallMs() / 1000;
    const when = { clock, atMs: clock.wallMs() - 600_000 };
    expect(codeOf(await publish(cutOff(nowS + 7), when))).toBe("published");
    expect(codeOf(await publish(cutOff(nowS + 8), when))).toBe("cutoff_too_late");
  });

  it("measures a cut-off from a decision by a clock ahead, up to half a minute", async () => {
    await initLog(url);
    const clock = stoppedClock();
    const aheadS = (s: number) => clock.wallMs() / 1000 + s;
    const decided = (s: number) => ({ clock, atMs: clock.wallMs() + s * 1000 });
    expect(codeOf(await publish(cutOff(aheadS(17)), decided(10)))).toBe("published");
    expect(codeOf(await publish(cutOff(aheadS(18)), decided(10)))).toBe("cutoff_too_late");
    expect(codeOf(await publish(cutOff(aheadS(37)), decided(9999)))).toBe("published");
    expect(codeOf(await publish(cutOff(aheadS(38)), decided(9999)))).toBe("cutoff_too_late");
  });
});

describe("publishing with the authority of the database", () => {
  const asDatabase = { authority: "database", generation: "meant" } as const;

  it("writes into the database's log, and into no other", async () => {
    await initLog(url, asDatabase);
    expect(codeOf(await publish(endOf("s-1"), asDatabase))).toBe("published");
    await initLog(url, { replace: true });
    expect(codeOf(await publish(endOf("s-2"), asDatabase))).toBe("wrong_authority");
  });

  it.each(["another", undefined])(
    "writes into the generation that the database means, and into no other (%s)",
    async (generation) => {
      await initLog(url, asDatabase);
      const outcome = await publish(endOf("s-1"), { ...asDatabase, generation });
      expect(outcome).toMatchObject({
        code: "generation_differs",
        message: expect.stringContaining("SEKISHO_REDIS_URL"),
      });
      expect(await redis(url, "XLEN", KEYS.log)).toBe(1);
    },
  );

  it.each([true, false])(
    "refuses a log that another server process left behind (break-glass: %s)",
    async (breakGlass) => {
      await initLog(url, asDatabase);
      await redis(url, "HSET", KEYS.meta, "run_id", "of-the-process-before");
      const outcome = await publish(endOf("s-1"), { ...asDatabase, breakGlass });
      expect(codeOf(outcome)).toBe("log_incomplete");
      expect(await redis(url, "XLEN", KEYS.log)).toBe(1);
    },
  );

  it("does not compare server processes where Redis is the authority", async () => {
    await initLog(url);
    await redis(url, "HSET", KEYS.meta, "run_id", "of-the-process-before");
    expect(codeOf(await publish(endOf("s-1")))).toBe("published");
  });

  it("notices a restart also on a publisher that was there before", async () => {
    const mortal = await RedisServer.start({ appendonly: true });
    const options = { keys: KEYS, clock: systemClock, minReplicas: 0, clockSkewS: 5 };
    const open = patientConnections(mortal.url);
    const { authority, generation } = asDatabase;
    const publisher = new RedisPublisher({ ...options, authority, open });
    const request = { atMs: Date.now(), reason: undefined, actor: undefined, generation };
    const end = (session: string) =>
      publisher.publish({ ...request, revocation: endOf(session), eventId: session });
    try {
      await initLog(mortal.url, asDatabase);
      expect(codeOf(await end("s-1"))).toBe("published");
      await mortal.restart();
      expect(codeOf(await end("s-2"))).toBe("log_incomplete");
    } finally {
      publisher.close();
      await mortal.close();
    }
  });
});

describe("breaking the glass", () => {
  it("writes past the database, marks the entry, and nodes take it like any other", async () => {
    await initLog(url, { authority: "database" });
    const following = follow(url);
    try {
      await following.untilFresh();
      expect(codeOf(await publish(endOf("s-1")))).toBe("wrong_authority");
      expect(codeOf(await publish(endOf("s-1"), { breakGlass: true }))).toBe("published");
      await following.until("s-1", ({ knows }) => knows("s-1"));
      expect(following.state.unreadable).toBe(false);
      const [, raw] = await reader.page(undefined, 10);
      expect(raw?.fields).toMatchObject({ origin: "break_glass" });
    } finally {
      await following.follower.close();
    }
  });

  it("trims nothing, and no request does, for the relay may have yet to import it", async () => {
    const asDatabase = { authority: "database", generation: "meant" } as const;
    await initLog(url, asDatabase);
    await redis(url, "HSET", KEYS.meta, "horizon_s", "0");
    const publisher = new RedisPublisher({
      open: patientConnections(url),
      keys: KEYS,
      clock: systemClock,
      authority: "redis",
      breakGlass: true,
      minReplicas: 0,
      clockSkewS: 5,
    });
    try {
      const rest = { atMs: Date.now(), reason: undefined, actor: undefined };
      for (let i = 0; i < 350; i += 1) {
        await publisher.publish({ revocation: endOf(`s-${i}`), eventId: randomUUID(), ...rest });
      }
    } finally {
      publisher.close();
    }
    expect(codeOf(await publish(endOf("s"), asDatabase))).toBe("published");
    expect(await reader.page(undefined, 1000)).toHaveLength(352);
  });

  it("still needs a log, with the right partitions, that is not being restored", async () => {
    const broken = { breakGlass: true };
    expect(codeOf(await publish(endOf("s-1"), broken))).toBe("log_missing");
    await redis(url, "HSET", KEYS.meta, "restoring", "marker");
    expect(codeOf(await publish(endOf("s-1"), broken))).toBe("log_restoring");
    await initLog(url, { replace: true, authority: "database" });
    await redis(url, "HSET", KEYS.meta, "partitions", "4");
    expect(codeOf(await publish(endOf("s-1"), broken))).toBe("partitions_differ");
  });
});

describe("one publisher for many at once", () => {
  it("opens one connection, and closes it", async () => {
    await initLog(url);
    const opened: string[] = [];
    const open = patientConnections(url);
    const publisher = new RedisPublisher({
      open: async () => {
        const connection = await open();
        opened.push(String(await connection.client.client("ID")));
        return connection;
      },
      keys: KEYS,
      clock: systemClock,
      authority: "redis",
      minReplicas: 0,
      clockSkewS: 5,
    });
    const isThere = async (id: string) => {
      const list = String(await redis(url, "CLIENT", "LIST"));
      return list.split("\n").some((line) => line.startsWith(`id=${id} `));
    };
    const request = { atMs: Date.now(), reason: undefined, actor: undefined };
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        publisher.publish({ ...request, revocation: endOf(`s-${i}`), eventId: `${i}` }),
      ),
    );
    expect(outcomes.every(({ published }) => published)).toBe(true);
    expect(opened).toHaveLength(1);
    const [id = ""] = opened;
    expect(await isThere(id)).toBe(true);
    publisher.close();
    await waitUntil(async () => !(await isThere(id)), {
      what: "its connection to be gone",
      timeoutMs: 20_000,
    });
  });
});
