/** What a log admin takes out of a log, and what it leaves there; there is one log admin, in Redis. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import type { TrimRequest } from "../../src/revocation-log/log-admin.js";
import type { RecordedEntry } from "../../src/revocation-log/recorded-entry.js";
import { endOf, HORIZON_S, initLog, KEYS, redis } from "../support/following.js";
import { seeLog } from "../support/relaying.js";

const ENTRIES = 300;
const GENERATION = "the-generation";

let server: RedisServer;
let logAdmin: RedisLogAdmin;

beforeAll(async () => {
  server = await RedisServer.start();
});
beforeEach(async () => {
  await redis(server.url, "FLUSHALL");
  logAdmin = new RedisLogAdmin(redisConnections(server.url), KEYS);
  const marker = randomUUID();
  await logAdmin.beginRestore(marker);
  await logAdmin.clear(marker);
  const entries = Array.from({ length: ENTRIES }, (_, i) => ({
    revocation: endOf(`s-${i}`),
    atMs: Date.now(),
    eventId: randomUUID(),
    reason: undefined,
    actor: undefined,
    origin: undefined,
  }));
  await logAdmin.append(marker, HORIZON_S, entries);
  const log = {
    generation: GENERATION,
    horizonS: HORIZON_S,
    coversFromMs: 0,
    minReplicas: 0,
  };
  await logAdmin.finish(marker, log);
});
afterEach(() => {
  logAdmin.close();
});
afterAll(() => server.close());

const setHorizonS = (horizonS: number) =>
  redis(server.url, "HSET", KEYS.meta, "horizon_s", String(horizonS));

async function trimUpTo(
  known: RecordedEntry | undefined,
  change: Partial<TrimRequest> = {},
): Promise<number> {
  if (known === undefined) throw new Error("no such entry");
  const request = { generation: GENERATION, knownUpToId: known.id, nowMs: Date.now() };
  return logAdmin.trim({ ...request, ...change });
}

describe("trimming", () => {
  it("removes what the horizon has passed and the database knows, but for the last of it", async () => {
    await setHorizonS(0);
    const { entries } = await seeLog(server.url);
    const known = entries[200];
    const trimmed = await trimUpTo(known);
    expect(trimmed).toBeGreaterThan(0);
    const left = await seeLog(server.url);
    expect(left.entries).toEqual(entries.slice(trimmed));
    expect(left.entries).toContainEqual(known);
    expect(left.meta).toMatchObject({ firstSeq: left.entries[0]?.seq, seq: ENTRIES + 1 });
  });

  it("removes nothing that the database does not know, however old", async () => {
    await setHorizonS(0);
    const { entries } = await seeLog(server.url);
    expect(await trimUpTo(entries[0])).toBe(0);
    expect((await seeLog(server.url)).entries).toEqual(entries);
  });

  it("leaves the last entry, if all are known and too old", async () => {
    await setHorizonS(0);
    const last = (await seeLog(server.url)).entries.at(-1);
    await trimUpTo(last);
    expect((await seeLog(server.url)).entries.at(-1)).toEqual(last);
  });

  it("removes nothing that is within the horizon by the earlier of two clocks", async () => {
    const last = (await seeLog(server.url)).entries.at(-1);
    expect(await trimUpTo(last)).toBe(0);
    expect(await trimUpTo(last, { nowMs: Date.now() + 2 * HORIZON_S * 1000 })).toBe(0);
    await setHorizonS(0);
    expect(await trimUpTo(last, { nowMs: Date.now() - HORIZON_S * 1000 })).toBe(0);
    expect(await trimUpTo(last, { nowMs: 0 })).toBe(0);
    expect(await trimUpTo(last)).toBeGreaterThan(0);
  });

  it("leaves a log alone that is another, somebody else's, or being restored", async () => {
    await setHorizonS(0);
    const last = (await seeLog(server.url)).entries.at(-1);
    expect(await trimUpTo(last, { generation: "another" })).toBe(0);
    await redis(server.url, "HSET", KEYS.meta, "authority", "redis");
    expect(await trimUpTo(last)).toBe(0);
    await redis(server.url, "HSET", KEYS.meta, "authority", "database", "restoring", "marker");
    expect(await trimUpTo(last)).toBe(0);
    await redis(server.url, "FLUSHALL");
    expect(await trimUpTo(last)).toBe(0);
    await initLog(server.url, { authority: "database" });
    expect(await trimUpTo(last)).toBe(0);
    expect(await redis(server.url, "XLEN", KEYS.log)).toBe(1);
  });

  it("is done without the stream, too", async () => {
    const last = (await seeLog(server.url)).entries.at(-1);
    await redis(server.url, "DEL", KEYS.log);
    expect(await trimUpTo(last)).toBe(0);
    expect(await redis(server.url, "EXISTS", KEYS.log)).toBe(0);
  });
});
