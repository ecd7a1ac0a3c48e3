/** How `sekisho sessions` begins and ends, also where its surroundings are in trouble. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";

import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { SessionsService, newKeySecret, type DatabaseSetting } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import { copyPgliteTemplate } from "../support/pglite-template.js";
import { sekisho } from "../support/sekisho-command.js";

/** A platform kills after ten seconds, and the program gives itself nine. */
const CUT_OFF_MS = 9000;
/** The program's shortest patience with what may still be under way. */
const DRAIN_MS = 5000;
/** Here nobody listens, and nobody who starts beside the test is given this port. */
const NOBODY = "127.0.0.1:1";

let parent: string;
let redis: RedisServer;
let postgres: PostgresServer;
let folders = 0;
const services: SessionsService[] = [];

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-life-"));
  redis = await RedisServer.start();
  postgres = await PostgresServer.start();
});
afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.kill()));
  redis.resume();
  postgres.resume();
});
afterAll(async () => {
  await postgres.close();
  await redis.close();
  await rm(parent, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = join(parent, `data-${++folders}`);
  await copyPgliteTemplate(folder);
  return folder;
}

async function start(
  database: DatabaseSetting,
  settings: Readonly<Record<string, string>> = {},
): Promise<SessionsService> {
  const service = await SessionsService.start({ redisUrl: redis.url, database, settings });
  services.push(service);
  return service;
}

const said = (service: SessionsService, text: string) =>
  waitUntil(() => service.lines.some((line) => line.includes(text)), {
    what: `the line "${text}"`,
    timeoutMs: 30_000,
  });

function signal({ pid }: SessionsService, name: NodeJS.Signals): void {
  if (pid === undefined) throw new Error("it does not run");
  process.kill(pid, name);
}

/** Asks it to end; how it did and how long it took. */
async function endOf(service: SessionsService): Promise<{ code: number | null; ms: number }> {
  const startedMs = performance.now();
  signal(service, "SIGTERM");
  const { code } = await service.exited;
  return { code, ms: performance.now() - startedMs };
}

const settingsFor = (folder: string) => ({ ...settingsWithoutPlace(), SEKISHO_DATA_DIR: folder });
const settingsWithoutPlace = () => ({
  SEKISHO_REDIS_URL: redis.url,
  SEKISHO_ISSUER: "i",
  SEKISHO_AUDIENCE: "a",
  SEKISHO_SESSIONS_KEY_SECRET: newKeySecret(),
  SEKISHO_SESSIONS_LISTEN: "127.0.0.1:0",
  SEKISHO_SESSIONS_OPS_LISTEN: "127.0.0.1:0",
});

describe("a start that cannot succeed", () => {
  test("for its settings lists every fault at once, without secrets", async () => {
    const { code, out, err } = await sekisho(["sessions"], {
      SEKISHO_BOGUS: "1",
      SEKISHO_LOG_LEVEL: "loud",
      SEKISHO_DATABASE_URL: "postgres://ann:hunter2@db:1:2/x",
      SEKISHO_SESSIONS_KEY_SECRET: "hunter3",
    });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^sekisho sessions: 7 faults in the configuration:\n/);
    for (const name of ["BOGUS", "LOG_LEVEL", "DATABASE_URL", "REDIS_URL", "ISSUER", "AUDIENCE"]) {
      expect(err).toContain(`\n  SEKISHO_${name}`);
    }
    expect(err).toContain('\n  SEKISHO_SESSIONS_KEY_SECRET="***"');
    expect(err).not.toMatch(/hunter/);
  });

  describe("for a port that is taken", () => {
    let taken: Server;
    let address: string;
    beforeAll(async () => {
      taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      const bound = taken.address();
      if (bound === null || typeof bound === "string") throw new Error("no port");
      address = `127.0.0.1:${bound.port}`;
    });
    afterAll(() => {
      taken.close();
    });

    test.each([["SEKISHO_SESSIONS_LISTEN"], ["SEKISHO_SESSIONS_OPS_LISTEN"]])(
      "%s: ends with one message, and gives the folder back",
      async (variable) => {
        const folder = await newFolder();
        const before = await readdir(folder);
        const settings = { ...settingsFor(folder), [variable]: address };
        const { code, out, err } = await sekisho(["sessions"], settings);
        expect([code, out]).toEqual([2, ""]);
        const where = `${variable}=${address}`;
        expect(err.trimEnd().split("\n")).toEqual([
          expect.stringMatching(`^sekisho sessions: cannot listen on ${where}: .*EADDRINUSE`),
          expect.stringContaining("end it, or choose another"),
        ]);
        expect(await readdir(folder)).toEqual(before);
        const service = await start({ folder });
        await service.waitReady();
      },
    );

    test("ends as soon where neither Redis nor PostgreSQL is there", async () => {
      const { code, err } = await sekisho(["sessions"], {
        ...settingsWithoutPlace(),
        SEKISHO_DATABASE_URL: `postgres://u:hunter2@${NOBODY}/d`,
        SEKISHO_REDIS_URL: `redis://:hunter2@${NOBODY}`,
        SEKISHO_SESSIONS_OPS_LISTEN: address,
      });
      expect(code).toBe(2);
      expect(err).toContain("EADDRINUSE");
      expect(err).not.toContain("hunter2");
    });
  });

  test("for a folder that a running service has ends with a clear message", async () => {
    const folder = await newFolder();
    const first = await start({ folder });
    const { code, out, err } = await sekisho(["sessions"], settingsFor(folder));
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(folder);
    expect(err).toMatch(/another process is using the data folder/);
    await first.waitReady();
  });
});

describe("an end", () => {
  test("that is orderly takes no time and says so", async () => {
    const service = await start({ folder: await newFolder() });
    await service.waitReady();
    const { code, ms } = await endOf(service);
    expect([code, service.lines.at(-1)]).toEqual([0, expect.stringContaining('"closed"')]);
    expect(ms).toBeLessThan(DRAIN_MS);
  });

  test("comes in time where Redis hangs", async () => {
    const folder = await newFolder();
    const service = await start({ folder });
    await service.waitReady();
    await said(service, "restored the revocation log");
    redis.pause();
    const { code, ms } = await endOf(service);
    expect([code, service.lines.at(-1)]).toEqual([0, expect.stringContaining('"closed"')]);
    expect(ms).toBeLessThan(CUT_OFF_MS);
    // Nothing of it is left in the folder, so that the next one need not clear up.
    expect((await readdir(folder)).filter((name) => name.includes("listening"))).toEqual([]);
  });

  test.each([
    ["in time where PostgreSQL hangs", 1, [0, expect.stringContaining('"closed"')]],
    ["at once where it is asked for again", 2, [1, expect.stringContaining('"closing"')]],
  ] as const)("comes %s", async (_when, times, expected) => {
    const service = await start({ url: await postgres.createDatabase() });
    await service.waitReady();
    await said(service, "this instance relays");
    postgres.pause();
    const body = JSON.stringify({ tenant: "t", login: "l", password: "p", device_name: "d" });
    const headers = { "content-type": "application/json" };
    const login = fetch(`${service.url}/v1/login`, { method: "POST", body, headers }).catch(
      () => undefined,
    );
    const isWaiting = async () => {
      const page = await service.ops("/statusz").catch(() => undefined);
      return /"inUse": [1-9]/.test(page?.body ?? "");
    };
    await waitUntil(isWaiting, {
      what: "a request that waits for the database",
      timeoutMs: 30_000,
    });
    const ending = endOf(service);
    await said(service, '"closing"');
    for (let again = 1; again < times; again += 1) signal(service, "SIGTERM");
    const { code, ms } = await ending;
    expect([code, service.lines.at(-1)]).toEqual(expected);
    expect(ms).toBeLessThan(CUT_OFF_MS);
    await login;
  });

  test("comes at once where it is interrupted twice", async () => {
    const service = await start({ url: await postgres.createDatabase() });
    await service.waitReady();
    await said(service, "this instance relays");
    postgres.pause();
    signal(service, "SIGINT");
    await said(service, '"closing"');
    const startedMs = performance.now();
    signal(service, "SIGINT");
    expect((await service.exited).code).toBe(1);
    expect(performance.now() - startedMs).toBeLessThan(DRAIN_MS);
    expect(service.lines.join("\n")).not.toContain('"closed"');
  });

  test("comes in time before the service is ready, because PostgreSQL is not there", async () => {
    const service = await start({ url: `postgres://u:hunter2@${NOBODY}/d` });
    await said(service, "not ready yet");
    expect((await service.ops("/readyz")).status).toBe(503);
    const { code, ms } = await endOf(service);
    expect(code).toBe(0);
    expect(ms).toBeLessThan(CUT_OFF_MS);
    expect(service.lines.join("\n")).not.toContain("hunter2");
  });

  test("comes in time while the tables wait for a PostgreSQL that hangs", async () => {
    const url = await postgres.createDatabase();
    postgres.pause();
    const service = await start({ url });
    const { code, ms } = await endOf(service);
    expect([code, service.lines.at(-1)]).toEqual([0, expect.stringContaining('"closed"')]);
    expect(ms).toBeLessThan(CUT_OFF_MS);
  });
});
