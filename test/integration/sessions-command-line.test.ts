/** The operators' commands beside and through a running session service. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";

import {
  OPERATORS,
  PASSWORD,
  RunningSessions,
  type LoggedIn,
} from "../support/sessions-deployment.js";
import type { Pod } from "../support/e2e-deployment.js";
import { KEYS, redis } from "../support/following.js";
import { sekisho } from "../support/sekisho-command.js";
import { encodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";

const PATH = "/things";
/** No port that fetch refuses by itself, and none that anybody is given who starts beside the test. */
const NOBODY = "http://127.0.0.1:2";
/** For what comes by itself, on a machine that may stand still. */
const UNTIL_MS = 30_000;
const UUID = "[0-9a-f-]{36}";

const operatorSchema = z.object({
  tenant: z.literal(OPERATORS),
  user_id: z.string().min(1),
  login: z.string(),
  one_time_password: z.string().min(12),
});
const auditSchema = z.object({
  entries: z.array(
    z.object({
      user_id: z.string().optional(),
      reason: z.string().optional(),
      detail: z.record(z.string(), z.unknown()),
    }),
  ),
});

let running: RunningSessions;
let pod: Pod;
let users = 0;

beforeAll(async () => {
  running = await RunningSessions.open({ name: "PGlite" });
  await running.addTenant("acme");
  pod = await running.addPod("node-1");
});
afterAll(() => running.close());

const newUser = (): Promise<LoggedIn> => running.enter("acme", `user-${++users}`);
const seen = (whose: LoggedIn) => pod.client.seen(PATH, { token: whose.accessToken });
const until = (whose: LoggedIn, answer: string) =>
  waitUntil(async () => (await seen(whose)) === answer, { what: answer, timeoutMs: UNTIL_MS });
const refreshed = async ({ refreshToken }: LoggedIn) =>
  (await running.client.ask("POST", "/v1/refresh", { body: { refresh_token: refreshToken } })).body;

/** The command with both variables; whatever it says, the token is not in it. */
async function through(args: readonly string[], settings: Record<string, string> = {}) {
  const token = settings["SEKISHO_SESSIONS_TOKEN"] ?? running.operatorToken;
  const ended = await sekisho(args, {
    SEKISHO_SESSIONS_URL: running.service.url,
    SEKISHO_SESSIONS_TOKEN: token,
    ...settings,
  });
  expect(ended.out + ended.err).not.toContain(token);
  return ended;
}

const straight = (args: readonly string[]) =>
  sekisho(args, { SEKISHO_REDIS_URL: running.deployment.redis.url });

const revokeUser = ({ tenant, user }: LoggedIn) => [
  ...["revoke", "user", "--tenant", tenant, "--user", user],
];
const revokeSession = ({ tenant, user, sessionId }: LoggedIn) => [
  ...["revoke", "session", "--tenant", tenant, "--user", user, "--session", sessionId],
];

describe("revoke through the session service", () => {
  test("ends a session, and tells people how far it has come", async () => {
    const ann = await newUser();
    await until(ann, "200");
    const { code, out, err } = await through([...revokeSession(ann), "--wait", "10000"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toMatch(
      new RegExp(`^Ended and published \\(${UUID}\\)\\.\nApplied by 1/1 nodes in [\\d.]+ ms\\.\n$`),
    );
    expect(await seen(ann)).toBe("401 session_revoked");
    expect(await refreshed(ann)).toMatchObject({ code: "session_ended" });
    const again = await through([...revokeSession(ann), "--wait", "10000"]);
    // Published once more, in case it had not been.
    expect([again.code, again.out]).toEqual([0, expect.stringContaining("Ended and published")]);
  });

  test("ends a user's everything, and tells scripts the service's answer", async () => {
    const ann = await newUser();
    const args = [...revokeUser(ann), "--wait", "10000", "--json", "--reason", "left us"];
    const { code, out, err } = await through(args);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toMatchObject({
      published: true,
      acknowledged: true,
      confirmed: true,
      nodes: 1,
      applied: 1,
      per_node: [{ node: "node-1" }],
      pending: [],
      silent: [],
    });
    expect(await seen(ann)).toBe("401 user_epoch_superseded");
    const path = `/v1/admin/tenants/acme/audit?user=${ann.user}`;
    const { body } = await running.client.ask("GET", path, { token: running.operatorToken });
    expect(auditSchema.parse(body).entries).toContainEqual(
      expect.objectContaining({ user_id: ann.user, reason: "left us" }),
    );
  });

  test("waits for nobody unless it is told to", async () => {
    const { code, out } = await through(revokeUser(await newUser()));
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^Ended and published \\(${UUID}\\)\\.\n$`));
  });

  test("ends with 3 and the node's name where a node has not confirmed it", async () => {
    const ann = await newUser();
    const { url } = running.deployment.redis;
    const generation = String(await redis(url, "HGET", KEYS.meta, "generation"));
    const [maxStalenessMs, seenMs] = [700, Date.now() + 60_000];
    const row = { seenMs, generation, seq: 1, maxStalenessMs, onStale: "allow" } as const;
    await redis(url, "HSET", KEYS.nodes, "node-behind:abc123:1", encodeNodeRow(row));
    try {
      /** The first one whose time was enough for the node that is there. */
      const once = (told: string, ...more: string[]) =>
        waitFor(
          async () => {
            const ended = await through([...revokeUser(ann), "--wait", "200", ...more]);
            return ended.out.includes(told) ? ended : undefined;
          },
          { what: `"${told}"`, timeoutMs: UNTIL_MS },
        );
      const { code, err } = await once("Applied by 1/2 nodes");
      expect([code, err]).toEqual([3, "Not confirmed by: node-behind (after 700 ms: allow)\n"]);
      const json = await once('"applied":1,', "--json");
      expect([json.code, json.err]).toEqual([3, ""]);
      expect(JSON.parse(json.out)).toMatchObject({ confirmed: false, nodes: 2, applied: 1 });
    } finally {
      await redis(url, "HDEL", KEYS.nodes, "node-behind:abc123:1");
    }
  });

  test("ends with 3 and the reason where a row says more than Redis gave its node", async () => {
    const ann = await newUser();
    const { url } = running.deployment.redis;
    const group = "node-forged:abc123:1";
    const generation = String(await redis(url, "HGET", KEYS.meta, "generation"));
    const limits = { maxStalenessMs: 700, onStale: "allow" } as const;
    const row = { seenMs: Date.now() + 60_000, generation, seq: 1_000_000, ...limits };
    await redis(url, "XGROUP", "CREATE", KEYS.log, group, "$");
    await redis(url, "HSET", KEYS.nodes, group, encodeNodeRow(row));
    const forged = { node: "node-forged", max_staleness_ms: 700, on_stale: "allow" };
    try {
      const told = { confirmed: false, pending: [{ ...forged, reason: "not_delivered" }] };
      const once = (applied: string, args: readonly string[]) =>
        waitFor(
          async () => {
            const ended = await through([...args, "--wait", "200"]);
            return ended.out.includes(applied) ? ended : undefined;
          },
          { what: `"${applied}"`, timeoutMs: UNTIL_MS },
        );
      const json = await once('"applied":1,', [...revokeUser(ann), "--json"]);
      expect([json.code, JSON.parse(json.out)]).toMatchObject([3, told]);
      const { code, err } = await once("Applied by 1/2 nodes", revokeSession(await newUser()));
      expect(code).toBe(3);
      expect(err).toMatch(
        /node-forged \(its row says .*; after 700 ms: allow\)\nAnother process writes/,
      );
      /** The first receipt's answer again: the relay knows the entry's ID a little later. */
      const path = `/v1/admin/tenants/acme/users/${ann.user}/sessions/${ann.sessionId}?wait_ms=100`;
      await waitUntil(
        async () => {
          const token = running.operatorToken;
          const { body } = await running.client.ask("DELETE", path, { token });
          return JSON.stringify(body).includes('"reason":"not_delivered"');
        },
        { what: "the reason in the repeated receipt", timeoutMs: UNTIL_MS },
      );
    } finally {
      await redis(url, "HDEL", KEYS.nodes, group);
      await redis(url, "XGROUP", "DESTROY", KEYS.log, group);
    }
  });

  test("ends with 1 for what is not there, in the service's words", async () => {
    const ann = await newUser();
    const { code, out, err } = await through(revokeUser({ ...ann, user: "nobody" }));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho revoke: the session service answered 404 \w+/);
  });

  test("needs to know whose session it is", async () => {
    const args = ["revoke", "session", "--tenant", "acme", "--session", "s"];
    const { code, out, err } = await through(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("add --user");
  });

  test.each([
    ["--epoch", "3"],
    ["--issued-before", "now"],
  ])("takes no %s: the service knows better", async (option, value) => {
    const ann = await newUser();
    const { code, out, err } = await through([...revokeUser(ann), option, value]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("leave out --epoch and --issued-before");
    expect(await refreshed(ann)).toMatchObject({ session_id: ann.sessionId });
  });

  test("with a token that was revoked says what to do", async () => {
    const operator = await running.base.createOperator("second").catch(() => undefined);
    // The folder is the service's, so the second operator is made by the first.
    expect(operator).toBeUndefined();
    const made = { login: "second", password: PASSWORD, role: "operator" };
    await running.client.createUser(running.operatorToken, OPERATORS, made);
    const who = { tenant: OPERATORS, login: "second", password: PASSWORD };
    const { accessToken } = await running.client.login(who);
    await running.client.ask("POST", "/v1/logout", { token: accessToken });
    for (const args of [revokeUser(await newUser()), ["nodes"]]) {
      const { code, out, err } = await through(args, { SEKISHO_SESSIONS_TOKEN: accessToken });
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain("answered 401 invalid_token");
      expect(err).toContain("Log in again and set SEKISHO_SESSIONS_TOKEN");
    }
  });

  test("with a token that may not do that is refused", async () => {
    const ann = await newUser();
    const settings = { SEKISHO_SESSIONS_TOKEN: ann.accessToken };
    const { code, err } = await through(revokeUser(ann), settings);
    expect([code, err]).toEqual([1, expect.stringContaining("answered 403")]);
  });
});

describe("nodes through the session service", () => {
  test("are a table, and JSON for scripts", async () => {
    /** A node that the machine has held up, or that has just been sent something, catches up. */
    const once = (told: RegExp, ...more: string[]) =>
      waitFor(
        async () => {
          const { code, out } = await through(["nodes", ...more]);
          expect(code).toBe(0);
          return told.test(out) ? out : undefined;
        },
        { what: String(told), timeoutMs: UNTIL_MS },
      );
    const head = /^NODE +STATE +APPLIED +SEEN +STALE AFTER +THEN +VERSION\n/;
    await once(new RegExp(`${head.source}node-1 +in step +(\\d+)/\\1 `));
    expect(JSON.parse(await once(/"in_step"/, "--json"))).toMatchObject({
      log: { authority: "database" },
      nodes: [{ node: "node-1", state: "in_step", max_staleness_ms: 1000, on_stale: "deny" }],
    });
  });
});

describe("the way to the session service", () => {
  test.each([
    ["SEKISHO_SESSIONS_URL", "SEKISHO_SESSIONS_TOKEN", "http://127.0.0.1:1"],
    ["SEKISHO_SESSIONS_TOKEN", "SEKISHO_SESSIONS_URL", "hunter2.hunter2.hunter2"],
  ])("with only %s is a fault of the configuration", async (given, missing, value) => {
    for (const command of [["nodes"], ["revoke", "user", "--tenant", "t", "--user", "u"]]) {
      const { code, out, err } = await sekisho(command, {
        SEKISHO_REDIS_URL: running.deployment.redis.url,
        [given]: value,
      });
      expect([code, out]).toEqual([2, ""]);
      expect(err).toContain(`${missing} is not set, but ${given} is`);
      expect(err).not.toContain("hunter2");
    }
  });

  test("to nobody ends with 1 and names the emergency's way", async () => {
    for (const args of [revokeUser(await newUser()), ["nodes"]]) {
      const { code, out, err } = await through(args, { SEKISHO_SESSIONS_URL: NOBODY });
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain(`the session service at ${NOBODY} cannot be reached: `);
      expect(err).toContain("--break-glass");
    }
  });
});

describe("past the session service", () => {
  test("nothing is published without --break-glass, whose name is told", async () => {
    const ann = await newUser();
    for (const args of [
      ["revoke", "session", "--tenant", "acme", "--session", ann.sessionId],
      [...revokeUser(ann), "--epoch", "9"],
    ]) {
      const { code, out, err } = await straight(args);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toContain("--break-glass");
    }
    const tooLate = ["--epoch", "4503599627370497", "--break-glass"];
    const { code, err } = await straight([...revokeUser(ann), ...tooLate]);
    expect([code, err]).toEqual([2, expect.stringContaining("at most 2^52")]);
    expect(await refreshed(ann)).toMatchObject({ session_id: ann.sessionId });
    await until(ann, "200");
  });

  const importedRow = (whose: LoggedIn) =>
    waitFor(
      async () => {
        const path = "/v1/admin/tenants/acme/audit?kind=revocation_imported";
        const { body } = await running.client.ask("GET", path, { token: running.operatorToken });
        return auditSchema.parse(body).entries.find((one) => one.user_id === whose.user);
      },
      { what: "the audit's row", timeoutMs: UNTIL_MS },
    );

  test("--break-glass ends a session at once, and the service then ends it, too", async () => {
    const ann = await newUser();
    await until(ann, "200");
    const args = [...revokeSession(ann), "--break-glass", "--reason", "fire", "--wait", "10000"];
    const { code, out } = await straight(args);
    expect([code, out]).toEqual([0, expect.stringContaining("Applied by 1/1 nodes")]);
    expect(await seen(ann)).toBe("401 session_revoked");
    expect(await importedRow(ann)).toMatchObject({
      reason: "fire",
      detail: { break_glass: true, published_by: expect.stringMatching(/^cli/) },
    });
    expect(await refreshed(ann)).toMatchObject({ code: "session_ended" });
  });

  test("--break-glass raises an epoch, which the service then takes over", async () => {
    const ann = await newUser();
    await until(ann, "200");
    const { code } = await straight([...revokeUser(ann), "--epoch", "7", "--break-glass"]);
    expect(code).toBe(0);
    await until(ann, "401 user_epoch_superseded");
    await importedRow(ann);
    expect(await refreshed(ann)).toMatchObject({ code: "session_ended" });
    const again = await running.login(ann);
    await until(again, "200");
  });

  test("--break-glass goes past a service that is configured", async () => {
    const ann = await newUser();
    const { code, out } = await through([...revokeUser(ann), "--epoch", "7", "--break-glass"], {
      SEKISHO_SESSIONS_URL: NOBODY,
      SEKISHO_REDIS_URL: running.deployment.redis.url,
    });
    expect([code, out]).toEqual([0, expect.stringContaining("Published epoch 7")]);
    await importedRow(ann);
  });

  test("`log init` does no harm to the service's log", async () => {
    const { url } = running.deployment.redis;
    const before = await redis(url, "HGET", KEYS.meta, "generation");
    const { code, out, err } = await straight(["log", "init"]);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("its authority is database). Nothing was changed.");
    expect(await redis(url, "HGET", KEYS.meta, "generation")).toEqual(before);
  });
});

describe("while Redis is away", () => {
  test("a revocation is committed, and said not to be in force yet", async () => {
    const [ann, bob] = [await newUser(), await newUser()];
    await running.deployment.redis.stop();
    try {
      const { code, out, err } = await through([...revokeUser(ann), "--wait", "10000"]);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toMatch(
        new RegExp(`^Ended in the database \\(${UUID}\\), but not yet published: `),
      );
      expect(err).toContain("keeps trying");
      const json = await through([...revokeUser(bob), "--json"]);
      expect([json.code, json.err]).toEqual([1, ""]);
      expect(JSON.parse(json.out)).toMatchObject({ published: false, acknowledged: false });
      const nodes = await through(["nodes"]);
      expect([nodes.code, nodes.err]).toEqual([1, expect.stringContaining("503 log_unavailable")]);
    } finally {
      await running.deployment.redis.restart();
    }
    await until(ann, "401 user_epoch_superseded");
    await until(bob, "401 user_epoch_superseded");
  });
});

describe("sessions admin create", () => {
  test("finds the folder in use where the service runs on it", async () => {
    const { database } = running.base.data;
    if (!("folder" in database)) throw new Error("no folder");
    const args = ["sessions", "admin", "create", "--login", "third"];
    const { code, out, err } = await sekisho(args, { SEKISHO_DATA_DIR: database.folder });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^sekisho sessions admin create: /);
    expect(err).toContain(database.folder);
  });

  test("without a database ends with 2", async () => {
    const { code, out, err } = await sekisho(["sessions", "admin", "create", "--login", "x"]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/SEKISHO_DATABASE_URL .*SEKISHO_DATA_DIR/);
  });

  test("prints a password once that is good for one login, and none for a login that is there", async () => {
    const { database } = running.base.data;
    if (!("folder" in database)) throw new Error("no folder");
    const settings = { SEKISHO_DATA_DIR: database.folder };
    const create = (login: string, ...more: string[]) =>
      sekisho(["sessions", "admin", "create", "--login", login, ...more], settings);
    await running.service.stop();
    const third = await create("third", "--json");
    expect([third.code, third.err]).toEqual([0, ""]);
    const { one_time_password: oneTimePassword, login } = operatorSchema.parse(
      JSON.parse(third.out),
    );
    expect(login).toBe("third");
    const fourth = await create("fourth");
    expect([fourth.code, fourth.err]).toEqual([0, ""]);
    const printed = /^One-time password: (\S+)$/m.exec(fourth.out)?.[1] ?? "";
    expect(fourth.out.split(printed)).toHaveLength(2);
    const again = await create("fourth");
    expect([again.code, again.out]).toEqual([1, ""]);
    expect(again.err).toContain("an operator fourth already exists; choose another --login");

    const service = await running.base.startService();
    await service.waitReady();
    const client = await running.base.connect(service.url);
    for (const [name, password] of [
      ["third", oneTimePassword],
      ["fourth", printed],
    ] as const) {
      const who = { tenant: OPERATORS, login: name, password };
      expect((await client.login(who)).passwordChangeRequired).toBe(true);
      const body = { ...who, device_name: "d" };
      const second = await client.ask("POST", "/v1/login", { body });
      expect(second).toMatchObject({ status: 401, body: { code: "bad_credentials" } });
    }
    const lines = [...running.service.lines, ...service.lines].join("\n");
    for (const secret of [printed, oneTimePassword]) expect(lines).not.toContain(secret);
  });
});

describe("help", () => {
  test.each([
    ["", ["sessions", "revoke", "nodes", "log", "authz"]],
    ["sessions", ["admin", "after-restore"]],
    ["sessions admin", ["create"]],
  ])("of `sekisho %s` lists what there is", async (command, listed) => {
    const words = command.split(" ").filter((word) => word !== "");
    const { code, out } = await sekisho([...words, "--help"]);
    expect(code).toBe(0);
    for (const name of listed) expect(out).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  test.each([
    ["sessions bogus", ["admin", "after-restore"]],
    ["sessions admin bogus", ["create"]],
  ])("is given for `sekisho %s`, with 2", async (command, listed) => {
    const { code, out, err } = await sekisho(command.split(" "));
    expect([code, out]).toEqual([2, ""]);
    for (const name of listed) expect(err).toMatch(new RegExp(`^  ${name} `, "m"));
  });
});
