import { randomUUID } from "node:crypto";
import { readFile, writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../deploy/local/redis-server.js";
import { repositoryRoot } from "../../deploy/local/repository.js";
import { systemClock } from "../../src/clock/clock.js";
import { redisConnections } from "../../src/revocation/connection-redis.js";
import { RedisNodeRows } from "../../src/revocation/node-rows-redis.js";
import { RedisPublisher } from "../../src/revocation/publisher-redis.js";
import { ReceiptDesk } from "../../src/revocation/receipt.js";
import { KEYS, endOf, follow, initLog, redis } from "../support/following.js";

let folder: string;
let server: RedisServer;
let as: (user: "node" | "publisher") => string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-acl-"));
  const shipped = await readFile(join(repositoryRoot(), "deploy/redis/users.acl"), "utf8");
  const users = shipped.split("\n").filter((line) => line.startsWith("user "));
  const file = join(folder, "users.acl");
  await writeFile(file, `user default on nopass ~* +@all\n${users.join("\n")}\n`);
  server = await RedisServer.start({ args: ["--aclfile", file] });
  as = (user) => `redis://sekisho-${user}:set-a-password-for-${user}s@127.0.0.1:${server.port}`;
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

describe("the shipped Redis users", () => {
  it("are enough for a publisher to open a log, publish, and read receipts, and for a node to follow", async () => {
    await initLog(as("publisher"));
    const following = follow(as("node"));
    const open = redisConnections(as("publisher"));
    const options = {
      open,
      keys: KEYS,
      clock: systemClock,
      authority: "redis",
      minReplicas: 0,
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
      const receipt = await new ReceiptDesk(rows, systemClock).waitFor(outcome, 5000);
      expect(receipt.applied).toHaveLength(1);
      expect(following.knows("s-1")).toBe(true);
      await following.follower.close();
      expect(await redis(server.url, "HLEN", KEYS.nodes)).toBe(0);
      expect(following.resyncs).toEqual(["start"]);
    } finally {
      publisher.close();
      rows.close();
      await following.follower.close();
    }
  });

  it.each([
    ["XADD", KEYS.log, "*", "v", "1"],
    ["DEL", KEYS.log],
    ["XTRIM", KEYS.log, "MAXLEN", "0"],
    ["XDEL", KEYS.log, "1-1"],
    ["HSET", KEYS.meta, "seq", "1"],
    ["EVAL", "return 1", "0"],
    ["FLUSHALL"],
    ["GET", "anything-else"],
    ["CONFIG", "GET", "*"],
  ])("keep a node from %s %s", async (command, ...args) => {
    await expect(redis(as("node"), command, ...args)).rejects.toThrow(/NOPERM|permissions/);
  });

  it.each([["FLUSHALL"], ["GET", "anything-else"], ["CONFIG", "GET", "*"], ["ACL", "LIST"]])(
    "keep a publisher from %s",
    async (command, ...args) => {
      await expect(redis(as("publisher"), command, ...args)).rejects.toThrow(/NOPERM|permissions/);
    },
  );
});
