/** How a log admin stamps a log as kept, and which logs it leaves alone; there is one, in Redis. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import { encodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import type { LogMeta } from "../../src/revocation-log/revocation-log.js";
import { HORIZON_S, initLog, KEYS, redis } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { seeLog } from "../support/relaying.js";

const GENERATION = "the-generation";

let server: RedisServer;
let logAdmin: RedisLogAdmin;

async function restored(): Promise<void> {
  const marker = randomUUID();
  await logAdmin.beginRestore(marker);
  await logAdmin.clear(marker);
  const log = {
    generation: GENERATION,
    horizonS: HORIZON_S,
    coversFromMs: 0,
    minReplicas: 0,
  };
  await logAdmin.finish(marker, log);
}

beforeAll(async () => {
  server = await RedisServer.start();
});
beforeEach(async () => {
  await redis(server.url, "FLUSHALL");
  logAdmin = new RedisLogAdmin(patientConnections(server.url), KEYS);
  await restored();
});
afterEach(() => {
  logAdmin.close();
});
afterAll(() => server.close());

const metaNow = async (): Promise<LogMeta> => (await seeLog(server.url)).meta;
const setMeta = (...pairs: string[]) => redis(server.url, "HSET", KEYS.meta, ...pairs);
const serverMs = async (): Promise<number> => (await logAdmin.facts()).serverMs;

describe("a log", () => {
  it("is kept from the end of its restore on, by the server's clock", async () => {
    const before = await serverMs();
    await restored();
    const { keptAtMs = 0 } = await metaNow();
    expect(keptAtMs).toBeGreaterThanOrEqual(before);
    expect(keptAtMs).toBeLessThanOrEqual(await serverMs());
  });

  it("is stamped by the server's clock", async () => {
    await setMeta("kept_at", "1");
    const before = await serverMs();
    expect(await logAdmin.keep(GENERATION)).toMatchObject({ rows: [] });
    const { keptAtMs = 0 } = await metaNow();
    expect(keptAtMs).toBeGreaterThanOrEqual(before);
    expect(keptAtMs).toBeLessThanOrEqual(await serverMs());
  });

  it("is stamped with no time before the one that it has", async () => {
    const later = (await serverMs()) + 60_000;
    await setMeta("kept_at", String(later));
    await logAdmin.keep(GENERATION);
    expect((await metaNow()).keptAtMs).toBe(later);
  });

  it("shows the nodes' rows as they stood when it was stamped", async () => {
    const row = { generation: GENERATION, seq: 1, maxStalenessMs: 1000, onStale: "deny" } as const;
    const seen = { ...row, seenMs: Date.now() };
    await redis(server.url, "HSET", KEYS.nodes, "node-1:ab:1", encodeNodeRow(seen));
    await redis(server.url, "HSET", KEYS.nodes, "node-2:ab:1", "of a newer version");
    const kept = await logAdmin.keep(GENERATION);
    expect(kept?.rows).toMatchObject([{ node: "node-1", group: "node-1:ab:1", row: seen }]);
    expect(kept?.serverMs).toBe((await metaNow()).keptAtMs);
  });

  it.each<[string, string[]]>([
    ["of another generation", ["generation", "another"]],
    ["without a database behind it", ["authority", "redis"]],
    ["of another server process", ["run_id", "another"]],
    ["of another life of that process", ["replid", "another"]],
    ["that is being restored", ["restoring", "marker"]],
    ["that is retired", ["retired_at", "1764000000000"]],
  ])("%s is left alone", async (_, change) => {
    await setMeta("kept_at", "1", ...change);
    expect(await logAdmin.keep(GENERATION)).toBeUndefined();
    expect((await metaNow()).keptAtMs).toBe(1);
  });

  it("that is not there stays so", async () => {
    await redis(server.url, "FLUSHALL");
    expect(await logAdmin.keep(GENERATION)).toBeUndefined();
    await initLog(server.url);
    expect(await logAdmin.keep(GENERATION)).toBeUndefined();
    expect((await metaNow()).keptAtMs).toBeUndefined();
  });
});

describe("a retired log", () => {
  it("is restored by nobody", async () => {
    await setMeta("retired_at", "1764000000000");
    const before = await seeLog(server.url);
    expect(await logAdmin.beginRestore(randomUUID())).toEqual({ done: false, code: "log_retired" });
    expect(await seeLog(server.url)).toMatchObject({ meta: before.meta, entries: before.entries });
  });
});
