import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";

import { RedisServer, answersPing } from "../../../dev/redis-server.js";
import type { RedisServerOptions } from "../../../dev/redis-server.js";

const started: RedisServer[] = [];
async function start(options?: RedisServerOptions): Promise<RedisServer> {
  const redis = await RedisServer.start(options);
  started.push(redis);
  return redis;
}
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));
afterEach(async () => {
  await Promise.all(started.splice(0).map((redis) => redis.close()));
});

test("answers as soon as it is started, and on the loopback interface only", async () => {
  const redis = await start();
  expect(redis.url).toBe(`redis://127.0.0.1:${redis.port}`);
  expect(await command(redis, "CONFIG GET bind")).toContain("127.0.0.1");
  expect(await command(redis, "CONFIG GET maxmemory-policy")).toContain("noeviction");
});

test("has its data after a restart on the same port when it is append-only", async () => {
  const redis = await start({ appendonly: true });
  await command(redis, "SET a 1");
  const before = redis.pid;
  await redis.restart();
  expect(redis.pid).not.toBe(before);
  expect(await command(redis, "GET a")).toBe("$1\r\n1\r\n");
});

test("has its data after it was killed when it is append-only", async () => {
  const redis = await start({ appendonly: true });
  expect(await command(redis, "CONFIG GET appendfsync")).toContain("always");
  await command(redis, "SET a 1");
  await redis.kill();
  expect(await answersPing(redis.port)).toBe(false);
  await redis.restart();
  expect(await command(redis, "GET a")).toBe("$1\r\n1\r\n");
});

test("is empty after a restart that asks for it", async () => {
  const redis = await start({ appendonly: true });
  await command(redis, "SET a 1");
  await redis.restart({ empty: true });
  expect(await command(redis, "GET a")).toBe("$-1\r\n");
});

test("does not answer while it is paused", async () => {
  const redis = await start();
  redis.pause();
  expect(await answersPing(redis.port)).toBe(false);
  redis.resume();
  expect(await answersPing(redis.port)).toBe(true);
});

test("takes further arguments", async () => {
  const redis = await start({ args: ["--min-replicas-to-write", "1"] });
  expect(await command(redis, "SET a 1")).toMatch(/^-NOREPLICAS/u);
});

test("leaves no folder behind when it is closed", async () => {
  const redis = await start({ inFolder: folder });
  expect(await readdir(folder)).toHaveLength(1);
  await redis.close();
  expect(await readdir(folder)).toEqual([]);
});

test("says what redis-server said and leaves no folder behind when it cannot start", async () => {
  await expect(start({ inFolder: folder, args: ["--no-such-option", "1"] })).rejects.toThrow(
    /ended \(exit code 1\)[^]*no-such-option/u,
  );
  const { port } = await start();
  await expect(start({ inFolder: folder, port })).rejects.toThrow(/already in use/iu);
  expect(await readdir(folder)).toEqual([]);
});

/** Sends one inline command and returns the reply as it came. */
async function command(redis: RedisServer, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: redis.port });
    socket.setTimeout(30_000, () => socket.destroy(new Error(`no answer to ${text}`)));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.write(`${text}\r\n`);
  });
}
