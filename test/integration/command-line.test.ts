/** The compiled command, as an operator meets it: what it prints and with what it ends. */
import { connect } from "node:http2";
import { createServer, type Server } from "node:net";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { z } from "zod";

import { AuthzNode } from "../../dev/authz-node.js";
import { takeFreePort } from "../../dev/free-port.js";
import { RedisServer } from "../../dev/redis-server.js";
import type { RedisConnection } from "../../src/revocation-log/connection-redis.js";
import { openLog } from "../../src/revocation-log/log-opening-redis.js";
import { encodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { patientConnections } from "../support/patient-connections.js";
import { sekisho, type Ended } from "../support/sekisho-command.js";

const KEYS = LOG_KEYS;

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

/** Of a connection that could not be opened in time, before anything was asked. */
const STOOD_STILL = /no answer to (connect|INFO) within|ETIMEDOUT/;
const ATTEMPTS_MAX = 5;

/** Again where the machine stood still for as long as the command waits for Redis. */
async function withRedis(
  args: readonly string[],
  settings: Record<string, string> = {},
): Promise<Ended> {
  for (let attempt = 1; ; attempt += 1) {
    const ended = await sekisho(args, { SEKISHO_REDIS_URL: redis.url, ...settings });
    if (attempt === ATTEMPTS_MAX || !STOOD_STILL.test(ended.err)) return ended;
  }
}
const initLog = () => withRedis(["log", "init"]);

/** A log as `log init` opens it, without the time that a process takes. */
async function openedLog(): Promise<void> {
  const outcome = await openLog(patientConnections(redis.url), KEYS, {
    generation: "g-1",
    authority: "redis",
    horizonS: 970,
    nothingWasRevoked: false,
    replace: false,
    minReplicas: 0,
  });
  expect(outcome).toEqual(["opened"]);
}

describe("help", () => {
  test("lists the commands", async () => {
    const { code, out, err } = await sekisho(["--help"]);
    expect([code, err]).toEqual([0, ""]);
    for (const name of ["authz", "revoke", "nodes", "log"]) {
      expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
    }
  });

  const revoke = ["session", "user", "token", "client", "tenant", "key", "all"];
  test.each([
    ...["authz", "revoke", ...revoke.map((kind) => `revoke ${kind}`)],
    ...["nodes", "log init", "log retire"],
  ])("of `%s` tells its options", async (command) => {
    const { code, out } = await sekisho([...command.split(" "), "--help"]);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: sekisho ${command}`);
  });

  test("has the package's version", async () => {
    const { code, out } = await sekisho(["--version"]);
    expect(code).toBe(0);
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("wrong usage ends with 2", () => {
  test.each([
    [["bogus"], ["authz", "sessions", "revoke", "nodes", "log"]],
    [
      ["revoke", "bogus"],
      ["session", "user", "token", "client", "tenant", "key", "all"],
    ],
    [
      ["log", "bogus"],
      ["init", "format", "retire"],
    ],
  ])("and %j is answered with the commands of that level", async (args, names) => {
    const { code, out, err } = await sekisho(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("unknown command 'bogus'");
    const listed = [...err.matchAll(/^ {2}(\w+) +\w/gm)].map(([, name]) => name);
    expect(listed).toEqual(names);
  });

  const session = ["revoke", "session", "--tenant", "t", "--session", "s"];
  const user = ["revoke", "user", "--tenant", "t", "--user", "u"];
  test.each([
    [[], "Usage: sekisho"],
    [["revoke"], "Usage: sekisho revoke"],
    [["log"], "Usage: sekisho log"],
    [["log", "format"], "missing required argument 'format'"],
    [["log", "format", "3"], "It must be 1 or 2"],
    [["--bogus"], "unknown option '--bogus'"],
    [["nodes", "--bogus"], "unknown option '--bogus'"],
    [["nodes", "extra"], "too many arguments"],
    [["revoke", "session", "--tenant", "t"], "--session"],
    [["revoke", "session", "--session", "s"], "--tenant"],
    [["revoke", "user", "--tenant", "t", "--epoch", "1"], "--user"],
    [user, "one of --epoch and --issued-before is needed"],
    [[...user, "--epoch", "1", "--issued-before", "now"], "cannot be used with"],
    [[...user, "--epoch", "-1"], "--epoch"],
    [[...user, "--epoch", "1.5"], "--epoch"],
    [[...user, "--epoch", "4503599627370497"], "at most 2^52"],
    [[...user, "--issued-before", "0226-01-31T12:00:00Z"], "from 1970 on"],
    [[...user, "--issued-before", "yesterday"], "--issued-before"],
    [[...user, "--issued-before", "1800000000000"], "--issued-before"],
    [[...user, "--issued-before", "2026-01-31T12:00:00"], "--issued-before"],
    [[...session, "--wait", "-1"], "--wait"],
    [[...session, "--wait", "60001"], "--wait"],
    [[...session, "--reason", "x".repeat(257)], "--reason"],
    [["revoke", "session", "--tenant", "t", "--session", ""], "--session"],
    [["revoke", "session", "--tenant", "t", "--session", "a".repeat(257)], "--session"],
    [["revoke", "session", "--tenant", "t", "--session", "a\nb"], "--session"],
    [["revoke", "session", "--tenant", "a\u007f", "--session", "s"], "--tenant"],
  ])("as in %j", async (args, told) => {
    const { code, out, err } = await withRedis(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(told);
  });
});

describe("bad configuration ends with 2 and one message", () => {
  test("that lists every fault of the sidecar, and no secret", async () => {
    const { code, out, err } = await sekisho(["authz"], {
      SEKISHO_LISTEN: "nowhere",
      SEKISHO_REDIS_URL: "user:hunter2@redis:6379",
      SEKISHO_LISTN: "x",
      SEKISHO_ISSUER: "",
    });
    expect([code, out]).toEqual([2, ""]);
    const lines = err.trimEnd().split("\n");
    expect(lines[0]).toBe("sekisho authz: 6 faults in the configuration:");
    expect(lines.slice(1).map((line) => /^ {2}(\w+)/.exec(line)?.[1])).toEqual([
      "SEKISHO_LISTN",
      "SEKISHO_REDIS_URL",
      "SEKISHO_LISTEN",
      "SEKISHO_ISSUER",
      "SEKISHO_AUDIENCE",
      "SEKISHO_JWKS_URL",
    ]);
    expect(err).not.toContain("hunter2");
  });

  test.each([
    [["log", "init"], "sekisho log: "],
    [["nodes"], "sekisho nodes: "],
    [["revoke", "session", "--tenant", "t", "--session", "s"], "sekisho revoke: "],
  ])("of %j, which needs Redis alone", async (args, prefix) => {
    const { code, out, err } = await sekisho(args, { SEKISHO_AUDIENCE: "unused" });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(new RegExp(`^${prefix}1 fault in the configuration:\n`));
    expect(err).toContain("SEKISHO_REDIS_URL is not set");
  });
});

describe("a taken port ends the sidecar with 2 and one message", () => {
  let taken: Server;
  let port: number;
  let folder: string;
  beforeAll(async () => {
    taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    port = z.object({ port: z.number() }).parse(taken.address()).port;
    folder = mkdtempSync(join(tmpdir(), "sekisho-command-line-"));
    writeFileSync(join(folder, "jwks.json"), '{"keys":[]}');
  });
  afterAll(() => {
    taken.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(["SEKISHO_LISTEN", "SEKISHO_OPS_LISTEN"])("where it is that of %s", async (name) => {
    const { code, out, err } = await withRedis(["authz"], {
      SEKISHO_ISSUER: "i",
      SEKISHO_AUDIENCE: "a",
      SEKISHO_JWKS_FILE: join(folder, "jwks.json"),
      SEKISHO_LISTEN: "127.0.0.1:0",
      SEKISHO_OPS_LISTEN: "127.0.0.1:0",
      [name]: `127.0.0.1:${port}`,
    });
    expect([code, out]).toEqual([2, ""]);
    expect(err.trimEnd().split("\n")).toEqual([
      expect.stringMatching(
        new RegExp(`^sekisho authz: cannot listen on ${name}=127\\.0\\.0\\.1:${port}`),
      ),
      "Another process is there: end it, or choose another address.",
    ]);
  });
});

test("SIGTERM ends the sidecar with 0 though a client holds a stream open", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sekisho-command-line-"));
  const jwksFile = join(folder, "jwks.json");
  writeFileSync(jwksFile, '{"keys":[]}');
  const mint = { issuer: "i", audience: "a", jwksFile };
  const node = await AuthzNode.start({ nodeId: "n", redisUrl: redis.url, mint });
  const session = connect(`http://${node.listen}`).on("error", () => undefined);
  try {
    await once(session, "connect");
    const headers = { ":method": "POST", "content-type": "application/grpc", te: "trailers" };
    const stream = session.request({ ...headers, ":path": "/grpc.health.v1.Health/Watch" });
    stream.on("error", () => undefined).resume();
    // An empty request: every service. The answers to it have no end.
    stream.end(Buffer.alloc(5));
    await once(stream, "response");
    // Rejects where it ends otherwise, or has to be killed.
    await node.stop();
  } finally {
    session.destroy();
    await node.kill();
    rmSync(folder, { recursive: true, force: true });
  }
});

describe("log init", () => {
  const covers = async () => Number(await connection.client.hget(KEYS.meta, "covers_from"));

  test("opens a log that covers what comes from now on", async () => {
    const { code, out } = await initLog();
    expect(code).toBe(0);
    expect(out).toMatch(/^Opened a log that remembers 970 s\. Tokens issued before now/);
    expect(Math.abs((await covers()) - Date.now())).toBeLessThan(60_000);
  });

  test("--nothing-was-revoked opens one that covers all time", async () => {
    const { code, out } = await withRedis(["log", "init", "--nothing-was-revoked"]);
    expect(code).toBe(0);
    expect(out).toContain("It covers all time");
    expect(await covers()).toBe(0);
  });

  test("leaves a log alone that is there, and says how to replace it", async () => {
    await initLog();
    const before = await connection.client.hgetall(KEYS.meta);
    const { code, out, err } = await initLog();
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("there is a log already");
    expect(err).toContain("--replace");
    expect(await connection.client.hgetall(KEYS.meta)).toEqual(before);
  });

  test("--replace begins anew, and says what was deleted", async () => {
    await initLog();
    await withRedis(["revoke", "session", "--tenant", "t", "--session", "s"]);
    const before = await connection.client.hget(KEYS.meta, "generation");
    const { code, out } = await withRedis(["log", "init", "--replace"]);
    expect(code).toBe(0);
    expect(out).toContain("Replaced the log, whose last entry was 2");
    expect(await connection.client.xlen(KEYS.log)).toBe(1);
    expect(await connection.client.hget(KEYS.meta, "generation")).not.toBe(before);
  });

  test("raises the horizon of the log that is there, and never lowers it", async () => {
    await withRedis(["log", "init", "--nothing-was-revoked"]);
    const raised = await withRedis(["log", "init"], { SEKISHO_MAX_TOKEN_LIFETIME_S: "1000" });
    expect(raised.code).toBe(0);
    expect(raised.out).toContain("Raised the log's horizon from 970 to 1070 s.");
    expect(Math.abs((await covers()) - (Date.now() - 970_000))).toBeLessThan(60_000);
    expect((await initLog()).code).toBe(1);
    expect(await connection.client.hget(KEYS.meta, "horizon_s")).toBe("1070");
  });

  test("ends with 1 where Redis is away", async () => {
    const away = `redis://:hunter2@127.0.0.1:${await takeFreePort()}`;
    const { code, out, err } = await sekisho(["log", "init"], { SEKISHO_REDIS_URL: away });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho log init: no log was opened: /);
    expect(err).not.toContain("hunter2");
  });
});

/** The fields of the newest entry. */
async function newestEntry(): Promise<Record<string, string>> {
  const [entry] = await connection.client.xrevrange(KEYS.log, "+", "-", "COUNT", 1);
  const fields = entry?.[1] ?? [];
  const pairs = fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1] ?? ""]] : []));
  return z.record(z.string(), z.string()).parse(Object.fromEntries(pairs));
}

describe("revoke", () => {
  const session = ["revoke", "session", "--tenant", "acme", "--session", "s-1"];
  const user = ["revoke", "user", "--tenant", "acme", "--user", "ann"];

  test.each([
    [session, { kind: "session_revoked", session: "s-1" }],
    [[...session, "--user", "ann"], { kind: "session_revoked", session: "s-1", user: "ann" }],
    [[...session, "--reason", "stolen"], { kind: "session_revoked", reason: "stolen" }],
    [[...user, "--epoch", "0"], { kind: "user_revoked", user: "ann", epoch: "0" }],
    [[...user, "--epoch", "4503599627370496"], { epoch: "4503599627370496" }],
    [[...user, "--issued-before", "1700000000"], { issued_before: "1700000000" }],
    [[...user, "--issued-before", "2026-01-31T12:00:00Z"], { issued_before: "1769860800" }],
    [[...user, "--issued-before", "2026-01-31T12:00:00.5+01:00"], { issued_before: "1769857201" }],
  ])("publishes %j", async (args, fields) => {
    await openedLog();
    const { code, out, err } = await withRedis(args);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(/^Published .* \(entry 2, [0-9a-f-]{36}\)\.\n.*users log in/);
    const entry = await newestEntry();
    expect(entry).toMatchObject({ v: "1", seq: "2", tenant: "acme", ...fields });
    expect(entry["actor"]).toMatch(/^cli/);
  });

  test("takes `now` for the skew and a second later", async () => {
    await openedLog();
    const before = Math.ceil(Date.now() / 1000);
    await withRedis([...user, "--issued-before", "now"], { SEKISHO_CLOCK_SKEW_S: "7" });
    const after = Math.ceil(Date.now() / 1000);
    const cutOff = Number((await newestEntry())["issued_before"]);
    expect(cutOff).toBeGreaterThanOrEqual(before + 8);
    expect(cutOff).toBeLessThanOrEqual(after + 8);
  });

  test.each([["a:b"], ["100%"], ["a b"], ["関所 é"], ["'\";$(x)\\"], ["é".repeat(256)], ["😀"]])(
    "publishes the id %j as it is",
    async (id) => {
      await openedLog();
      const args = ["--tenant", id, "--session", id, "--user", id];
      const { code } = await withRedis(["revoke", "session", ...args]);
      expect(code).toBe(0);
      expect(await newestEntry()).toMatchObject({ tenant: id, session: id, user: id });
    },
  );

  test("publishes nothing for a lone surrogate, which a command line cannot carry", async () => {
    await openedLog();
    const args = ["revoke", "session", "--tenant", "acme", "--session", "a\ud800b"];
    const { code, err } = await withRedis(args);
    expect([code, err]).toEqual([2, expect.stringContaining("UTF-8")]);
    expect((await newestEntry())["kind"]).toBe("log_opened");
  });

  test("publishes nothing where an id is given twice", async () => {
    await openedLog();
    const { code, err } = await withRedis([...session, "--session", "s-2"]);
    expect([code, err]).toEqual([2, expect.stringContaining("given once")]);
    expect((await newestEntry())["kind"]).toBe("log_opened");
  });

  test("ends with 1 where there is no log, and says how to open one", async () => {
    const { code, out, err } = await withRedis(session);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho revoke: not published: .*sekisho log init/);
    expect(await connection.client.exists(KEYS.log, KEYS.meta)).toBe(0);
    const json = await withRedis([...session, "--json"]);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({ published: false, code: "log_missing" });
  });

  test("ends with 1 where Redis is away", async () => {
    const away = `redis://127.0.0.1:${await takeFreePort()}`;
    const { code, out, err } = await sekisho(session, { SEKISHO_REDIS_URL: away });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho revoke: not published: Redis cannot be used now: .*is Redis up/);
  });

  test("ends with 1 where too few replicas have it", async () => {
    await openedLog();
    const { code, err } = await withRedis(session, { SEKISHO_REDIS_MIN_REPLICAS: "1" });
    expect(code).toBe(1);
    expect(err).toContain("only 0 of 1 replicas");
  });

  test("ends with 1 where the session service is the authority", async () => {
    await openedLog();
    await connection.client.hset(KEYS.meta, "authority", "database");
    const { code, err } = await withRedis(session);
    expect(code).toBe(1);
    expect(err).toContain("`database`");
  });
});

/** Beyond every entry: of a group to which Redis has delivered all. */
const LAST_ID = "9999999999999-0";

/** A node's row and group as a node would make them, seen at the server's time plus `seenInMs`. */
async function writeRow(node: string, seq: number, seenInMs: number): Promise<void> {
  const generation = (await connection.client.hget(KEYS.meta, "generation")) ?? "";
  const seenMs = Date.now() + seenInMs;
  const row = { seenMs, generation, seq, maxStalenessMs: 1000, onStale: "deny" } as const;
  const group = `${node}:abc123:1`;
  await connection.client.hset(KEYS.nodes, group, encodeNodeRow(row));
  await connection.client.xgroup("CREATE", KEYS.log, group, LAST_ID);
}

describe("the receipt", () => {
  const session = ["revoke", "session", "--tenant", "acme", "--session", "s-1"];

  test("is empty where no node follows", async () => {
    await openedLog();
    const { code, out } = await withRedis([...session, "--wait", "1000"]);
    expect(code).toBe(0);
    expect(out).toContain("No node follows this log now.");
  });

  test("names the node that has not applied it, and the command ends with 3", async () => {
    await openedLog();
    await writeRow("node-done", 2, 60_000);
    await writeRow("node-behind", 1, 60_000);
    await writeRow("node-silent", 1, -60_000);
    const { code, out, err } = await withRedis([...session, "--wait", "100"]);
    expect(code).toBe(3);
    expect(out).toMatch(/Applied by 1\/2 nodes in [\d.]+ ms\.\nSilent.*: node-silent \(.*: deny\)/);
    expect(err).toBe("Not confirmed by: node-behind (after 1000 ms: deny)\n");
  });

  test("is told to scripts with every node", async () => {
    await openedLog();
    await writeRow("node-done", 2, 60_000);
    await writeRow("node-behind", 1, 60_000);
    const { code, out } = await withRedis([...session, "--wait", "50", "--json"]);
    expect(code).toBe(3);
    const answer = { published: true, acknowledged: true, confirmed: false, seq: 2, nodes: 2 };
    expect(JSON.parse(out)).toMatchObject({
      ...answer,
      pending: [{ node: "node-behind" }],
      silent: [],
    });
  });

  test("is good where only a silent node has not applied it", async () => {
    await openedLog();
    await writeRow("node-done", 2, 60_000);
    await writeRow("node-silent", 1, -60_000);
    const { code, out } = await withRedis([...session, "--wait", "5000", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ confirmed: true, silent: [{ node: "node-silent" }] });
  });
});

describe("nodes", () => {
  test("are a table of who has applied what", async () => {
    await openedLog();
    await writeRow("node-a", 1, 60_000);
    await writeRow("node-b", 0, 60_000);
    await writeRow("node-c", 1, -60_000);
    const { code, out } = await withRedis(["nodes"]);
    expect(code).toBe(0);
    const lines = out.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^NODE +STATE +APPLIED +SEEN +STALE AFTER +THEN +VERSION$/);
    expect(lines[1]).toMatch(/^node-a +in step +1\/1 +0 ms ago +1000 ms +deny +\d+\.\S+$/);
    expect(lines[2]).toMatch(/^node-b +behind +0\/1 +0 ms ago +1000 ms +deny +\d+\.\S+$/);
    expect(lines[3]).toMatch(/^node-c +silent +1\/1 +\d+ ms ago +1000 ms +deny +\d+\.\S+$/);
    expect(lines).toHaveLength(4);
  });

  test("are told to scripts as JSON", async () => {
    await openedLog();
    await writeRow("node-a", 1, 60_000);
    const { code, out } = await withRedis(["nodes", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      log: { seq: 1, authority: "redis" },
      nodes: [{ node: "node-a", state: "in_step", seq: 1, group: "node-a:abc123:1" }],
    });
  });

  test("are none where nobody follows", async () => {
    await openedLog();
    expect((await withRedis(["nodes"])).out).toBe("no node follows this log\n");
  });

  test("end with 1 where there is no log or no Redis", async () => {
    const missing = await withRedis(["nodes"]);
    expect([missing.code, missing.out]).toEqual([1, ""]);
    expect(missing.err).toContain("run `sekisho log init`");
    const away = `redis://127.0.0.1:${await takeFreePort()}`;
    const { code, err } = await sekisho(["nodes"], { SEKISHO_REDIS_URL: away });
    expect(code).toBe(1);
    expect(err).toMatch(/^sekisho nodes: /);
  });
});
