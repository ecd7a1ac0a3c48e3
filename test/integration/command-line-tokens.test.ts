/** `sekisho revoke token|client|tenant|key|all` where the log has no session service. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { z } from "zod";

import { RedisServer } from "../../dev/redis-server.js";
import type { RedisConnection } from "../../src/revocation-log/connection-redis.js";
import { REVOCATION_KINDS } from "../../src/revocation-log/entry.js";
import { encodeNodeRow } from "../../src/revocation-log/node-row-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { signedDigestOf } from "../../src/tokens/verified-token-cache.js";
import { initLog } from "../support/following.js";
import { patientConnections } from "../support/patient-connections.js";
import { sekisho } from "../support/sekisho-command.js";
import { unsignedToken } from "../support/unsigned-token.js";

const ISSUER = "https://issuer.example";
const THUMBPRINT = "A".repeat(43);
const KEY = ["key", "--issuer", ISSUER, "--thumbprint", THUMBPRINT];
const CLIENT = ["client", "--client", "an app"];
const TENANT = ["tenant", "--tenant", "acme"];

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
  await initLog(redis.url);
});

const revoke = (args: readonly string[], input?: string) =>
  sekisho(["revoke", ...args], { SEKISHO_REDIS_URL: redis.url }, input);

/** The fields of the newest entry. */
async function newestEntry(): Promise<Record<string, string>> {
  const [entry] = await connection.client.xrevrange(LOG_KEYS.log, "+", "-", "COUNT", 1);
  const fields = entry?.[1] ?? [];
  const pairs = fields.flatMap((name, at) => (at % 2 === 0 ? [[name, fields[at + 1] ?? ""]] : []));
  return z.record(z.string(), z.string()).parse(Object.fromEntries(pairs));
}

/** Of an entry, what names the revoked and how. */
async function named(): Promise<Record<string, string>> {
  const about = ["v", "seq", "at", "forget_at", "event_id", "actor"];
  const fields = Object.entries(await newestEntry());
  return Object.fromEntries(fields.filter(([name]) => !about.includes(name)));
}

describe("publishes", () => {
  test.each([
    [
      [...CLIENT, "--tenant", "acme", "--issued-before", "1700000000", "--reason", "stolen"],
      { kind: "client_revoked", tenant: "acme", client: "an app", reason: "stolen" },
      "what client an app was issued before 2023-11-14T22:13:20.000Z in tenant acme",
    ],
    [
      [...CLIENT, "--all-tenants", "--yes", "--issued-before", "1700000000"],
      { kind: "client_revoked", client: "an app" },
      "in all tenants",
    ],
    [
      [...TENANT, "--issued-before", "1700000000"],
      { kind: "tenant_revoked", tenant: "acme" },
      "what tenant acme was issued before",
    ],
    [
      ["all", "--yes", "--issued-before", "2023-11-14T22:13:20Z"],
      { kind: "all_revoked" },
      "every token issued before 2023-11-14T22:13:20.000Z",
    ],
  ])("%j", async (args, fields, told) => {
    const { code, out, err } = await revoke(args);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(told);
    expect(await named()).toEqual({ ...fields, issued_before: "1700000000" });
  });

  test.each([[[...CLIENT, "--tenant", "t"]], [TENANT], [["all", "--yes"]]])(
    "%j for what was issued up to now, the skew and a second later included",
    async (args) => {
      const before = Math.ceil(Date.now() / 1000);
      expect((await revoke(args)).code).toBe(0);
      const cutOff = Number((await named())["issued_before"]);
      expect(cutOff).toBeGreaterThanOrEqual(before + 6);
      expect(cutOff).toBeLessThanOrEqual(Math.ceil(Date.now() / 1000) + 6);
    },
  );

  test("the revocation of a key", async () => {
    const { code, out, err } = await revoke([...KEY, "--yes"]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain(`what the key ${THUMBPRINT} of ${ISSUER} signs`);
    expect(await named()).toEqual({
      kind: "key_revoked",
      issuer: ISSUER,
      thumbprint: THUMBPRINT,
    });
  });
});

describe("a token", () => {
  const token = unsignedToken({ tenant_id: "acme", jti: "number one", exp: 1 });
  const names = {
    kind: "token_revoked",
    tenant: "acme",
    issuer: ISSUER,
    jti: "number one",
    signed_digest: signedDigestOf(token),
  };

  test.each([
    ["as it is", token],
    ["with the end of its line", `${token}\n`],
    ["with the end of its line as Windows writes it", `${token}\r\n`],
  ])("is read from standard input %s, and named by jti and digest", async (_how, input) => {
    const { code, out, err } = await revoke(["token"], input);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("the end of one token of tenant acme");
    expect(out).not.toContain(token.split(".")[1]);
    expect(await named()).toEqual(names);
  });

  test("is of the tenant in --tenant where it names none itself", async () => {
    const other = unsignedToken({ jti: 7 });
    expect((await revoke(["token", "--tenant", "acme"], other)).code).toBe(0);
    const { kind, tenant, issuer } = names;
    const signed_digest = signedDigestOf(other);
    expect(await named()).toEqual({ kind, tenant, issuer, signed_digest });
  });

  test.each([
    [["token"], "", "is not a token"],
    [["token"], "abc", "is not a token"],
    [["token"], `${token}\n\n`, "is not a token"],
    [["token"], "x".repeat(100_000), "is not a token"],
    [["token"], unsignedToken({ iss: "" }), "is not a token that names its issuer"],
    [["token"], unsignedToken({}), "the token has no `tenant_id`: add --tenant"],
    [["token", "--tenant", "other"], token, "the token names another tenant than --tenant"],
    [["token", token], "", "too many arguments"],
  ])("is refused, and not repeated: %#", async (args, input, told) => {
    const { code, out, err } = await revoke(args, input);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(told);
    expect(err).not.toContain(token.split(".")[1]);
    expect((await named())["kind"]).toBe("log_opened");
  });
});

describe("where a node cannot read it", () => {
  const TOKEN = unsignedToken({ tenant_id: "acme", jti: "number one" });

  /** As the first version writes it; `age`: since it was seen. */
  async function addFirstNode(node: string, onStale = "deny", ageMs = 0): Promise<void> {
    const generation = await connection.client.hget(LOG_KEYS.meta, "generation");
    const row = { seen: Date.now() - ageMs, generation, seq: 1, max_staleness_ms: 1000 };
    const group = `${node}:abc123:1`;
    await connection.client.hset(
      LOG_KEYS.nodes,
      group,
      JSON.stringify({ ...row, on_stale: onStale }),
    );
  }

  test.each([
    [["token"], "`token_revoked`", "of tenant acme"],
    [[...CLIENT, "--tenant", "acme"], "`client_revoked`", "of tenant acme"],
    [TENANT, "`tenant_revoked`", "of tenant acme"],
  ])("%j needs --yes, and says which node and what it does", async (args, kind, whose) => {
    await addFirstNode("node-1", "deny", -60_000);
    await addFirstNode("node-2", "allow", -60_000);
    const refused = await revoke(args, TOKEN);
    expect([refused.code, refused.out]).toEqual([2, ""]);
    expect(refused.err).toMatch(
      /^error: nothing was done: with --yes, node-1, node-2 cannot read /,
    );
    for (const told of [kind, whose, "(503; node-2: allow)", "Upgrade nodes first"]) {
      expect(refused.err).toContain(told);
    }
    expect((await named())["kind"]).toBe("log_opened");

    const done = await revoke([...args, "--yes"], TOKEN);
    expect(done.code).toBe(0);
    expect(done.err).toMatch(/^sekisho revoke: warning: node-1, node-2 cannot read /);
    expect(kind).toContain((await named())["kind"]);
  });

  test.each([[[...KEY, "--yes"]], [["all", "--yes"]], [[...CLIENT, "--all-tenants", "--yes"]]])(
    "%j warns that its tokens of every tenant are uncertain there",
    async (args) => {
      await addFirstNode("node-1", "deny", -60_000);
      const { code, err } = await revoke(args);
      expect(code).toBe(0);
      expect(err).toContain("warning: node-1 cannot read");
      expect(err).toContain("every token of every tenant");
    },
  );

  test("a node that is silent does not count, nor one that reads it", async () => {
    await addFirstNode("node-1", "deny", 60_000);
    const row = { seenMs: Date.now() + 60_000, generation: "g", seq: 1, maxStalenessMs: 1000 };
    const encoded = encodeNodeRow({ ...row, onStale: "deny" });
    await connection.client.hset(LOG_KEYS.nodes, "node-2:abc123:1", encoded);
    const { code, err } = await revoke(TENANT);
    expect([code, err]).toEqual([0, ""]);
  });

  test("sessions and users are revoked without a word: every version reads that", async () => {
    await addFirstNode("node-1", "deny", -60_000);
    const { code, err } = await revoke(["session", "--tenant", "acme", "--session", "s"]);
    expect([code, err]).toEqual([0, ""]);
  });

  test("sekisho nodes names it, with what it cannot read, and is no wider than a terminal", async () => {
    await addFirstNode("node-1", "deny", -60_000);
    const row = { seenMs: Date.now() + 60_000, generation: "g", seq: 1, maxStalenessMs: 1000 };
    const encoded = encodeNodeRow({ ...row, onStale: "deny" });
    await connection.client.hset(LOG_KEYS.nodes, "node-2:abc123:1", encoded);
    const { out } = await sekisho(["nodes"], { SEKISHO_REDIS_URL: redis.url });
    const lines = out.trimEnd().split("\n");
    expect(lines[0]).toMatch(/ THEN +VERSION$/);
    expect(lines[1]).toMatch(/^node-1 .* deny +-$/);
    expect(lines[2]).toMatch(/^node-2 .* deny +[0-9]+\.[0-9]+\.[0-9]+/);
    expect(lines.slice(3)).toEqual([
      "node-1 cannot read token_revoked, client_revoked, key_revoked, tenant_revoked, all_revoked, format 2",
    ]);
    expect(Math.max(...lines.slice(0, 3).map((line) => line.length))).toBeLessThanOrEqual(80);
    const told = await sekisho(["nodes", "--json"], { SEKISHO_REDIS_URL: redis.url });
    expect(JSON.parse(told.out)).toMatchObject({
      nodes: [
        { formats: [1], kinds: ["session_revoked", "user_revoked"] },
        { formats: [1, 2], kinds: REVOCATION_KINDS, version: expect.any(String) },
      ],
    });
  });
});

describe("publishes nothing", () => {
  test.each([
    [KEY, "every token that this key of https://issuer.example signs is refused"],
    [["all"], "every user of every tenant has to log in again"],
    [[...CLIENT, "--all-tenants"], "every token of client an app in all tenants is refused"],
  ])("for %j without --yes, and says what would happen", async (args, consequence) => {
    const { code, out, err } = await revoke(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toBe(`error: nothing was done: with --yes, ${consequence}\n`);
    expect((await named())["kind"]).toBe("log_opened");
  });

  test.each([
    [["client", "--tenant", "acme"], "--client"],
    [CLIENT, "one of --tenant and --all-tenants is needed"],
    [[...CLIENT, "--tenant", "acme", "--all-tenants"], "cannot be used with"],
    [["tenant"], "--tenant"],
    [["key", "--issuer", ISSUER, "--yes"], "--thumbprint"],
    [["key", "--issuer", ISSUER, "--thumbprint", "abc", "--yes"], "43 characters"],
    [["key", "--issuer", "a\nb", "--thumbprint", THUMBPRINT, "--yes"], "--issuer"],
    [[...KEY, "--lift"], "only the session service lifts"],
    [["all", "--yes", "--tenant", "acme"], "unknown option"],
    [["all", "--yes", "--issued-before", "1700000000000"], "--issued-before"],
  ])("for %j", async (args, told) => {
    const { code, out, err } = await revoke(args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(told);
    expect((await named())["kind"]).toBe("log_opened");
  });
});
