/** The operator's switch of the format in which the log's entries are written. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import type { RedisConnection } from "../../src/revocation-log/connection-redis.js";
import { initLog, KEYS } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { sekisho } from "../support/sekisho-command.js";

let redis: RedisServer;
let connection: RedisConnection;
beforeAll(async () => {
  redis = await RedisServer.start();
  connection = await patientConnections(redis.url)();
});
afterAll(async () => {
  connection.close();
  await redis.close();
});
beforeEach(async () => {
  await connection.client.flushall();
});

const format = (value: string) =>
  sekisho(["log", "format", value], { SEKISHO_REDIS_URL: redis.url });

describe("sekisho log format", () => {
  const row = (formats?: readonly number[]) =>
    JSON.stringify({
      seen: Date.now(),
      generation: "g-1",
      seq: 1,
      max_staleness_ms: 1000,
      on_stale: "deny",
      ...(formats === undefined ? {} : { formats }),
    });

  test("needs a log", async () => {
    const { code, out, err } = await format("2");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho log format: nothing was changed: there is no log /);
  });

  test("keeps to what every node reads, and says which nodes are in the way", async () => {
    await initLog(redis.url);
    await connection.client.hset(KEYS.nodes, "old-2:a1:1", row(), "old-1:a1:1", row([1]));
    await connection.client.hset(KEYS.nodes, "new-1:a1:1", row([1, 2]));
    const refused = await format("2");
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toContain("nothing was changed: old-1, old-2 would not be able to read it");
    expect(await connection.client.hget(KEYS.meta, "format")).toBeNull();
    await connection.client.hdel(KEYS.nodes, "old-1:a1:1", "old-2:a1:1");
    const set = await format("2");
    expect([set.code, set.err]).toEqual([0, ""]);
    expect(set.out).toMatch(
      /^The log's entries are written in format 2 from now on, before in 1\. /,
    );
    expect(await connection.client.hget(KEYS.meta, "format")).toBe("2");
    const again = await format("2");
    expect([again.code, again.out]).toEqual([
      0,
      "The log's entries are written in format 2 already.\n",
    ]);
    const back = await format("1");
    expect([back.code, back.out]).toEqual([0, expect.stringContaining("format 1 from now on")]);
  });
});
