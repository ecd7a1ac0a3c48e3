/** Where Redis and PostgreSQL are, and with which password, as every program and command is told. */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";

import { AuthzNode } from "../../dev/authz-node.js";
import { PostgresServer, SERVICE_ROLE } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import type { SekishoProgram } from "../../dev/sekisho-program.js";
import { SessionsService, newKeySecret } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import { patientConnections } from "../support/patient-connections.js";
import { sekisho } from "../support/sekisho-command.js";

const PASSWORD = "p%25 a@b:c/d?e#f'ü";
const USER = ["revoke", "user", "--tenant", "t", "--user", "u", "--epoch", "1"];
const SESSION = ["revoke", "session", "--tenant", "t", "--session", "s"];
const AT_REDIS = [["authz"], ["sessions"], ["log", "init"], ["nodes"], USER, SESSION];
const AT_DATABASE = [
  ["sessions"],
  ["sessions", "after-restore"],
  ["sessions", "admin", "create", "--login", "root"],
];
/** What they need besides; what they do not need changes nothing. */
const REST = {
  SEKISHO_LISTEN: "127.0.0.1:0",
  SEKISHO_OPS_LISTEN: "127.0.0.1:0",
  SEKISHO_SESSIONS_LISTEN: "127.0.0.1:0",
  SEKISHO_SESSIONS_OPS_LISTEN: "127.0.0.1:0",
  SEKISHO_ISSUER: "https://issuer.example",
  SEKISHO_AUDIENCE: "api",
  SEKISHO_JWKS_FILE: "no-such-file.json",
  SEKISHO_SESSIONS_KEY_SECRET: newKeySecret(),
};
// Ports on which nothing listens.
const REDIS_URL = "redis://127.0.0.1:1";
const DATABASE_URL = "postgres://127.0.0.1:1/sekisho";

let folder: string;
let file: string;
const programs: SekishoProgram[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-settings-"));
  // PostgreSQL may run as another user.
  await chmod(folder, 0o755);
  file = join(folder, "password");
  await writeFile(file, `${PASSWORD}\n`);
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.kill()));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("a password that cannot be decoded ends with 2, the variable's name and what to do", () => {
  test.each(AT_REDIS.map((args) => [args.slice(0, 2).join(" "), args] as const))(
    "in Redis's URL, as %s reads it",
    async (_name, args) => {
      const url = "redis://sekisho:hunter2%@127.0.0.1:1";
      const settings = { ...REST, SEKISHO_DATABASE_URL: DATABASE_URL, SEKISHO_REDIS_URL: url };
      const { code, out, err } = await sekisho(args, settings);
      expect([code, out]).toEqual([2, ""]);
      expect(err).toMatch(
        /: 1 fault in the configuration:\n {2}SEKISHO_REDIS_URL=.*write "%" as %25/,
      );
      expect(err).not.toContain("hunter2");
    },
  );

  test.each(AT_DATABASE.map((args) => [args.slice(0, 3).join(" "), args] as const))(
    "in PostgreSQL's URL, as %s reads it",
    async (_name, args) => {
      const url = "postgres://sekisho:hunter2%ff@127.0.0.1:1/sekisho";
      const settings = { ...REST, SEKISHO_DATABASE_URL: url, SEKISHO_REDIS_URL: REDIS_URL };
      const { code, out, err } = await sekisho(args, settings);
      expect([code, out]).toEqual([2, ""]);
      expect(err).toMatch(
        /: 1 fault in the configuration:\n {2}SEKISHO_DATABASE_URL=.*its password is not .*%25/,
      );
      expect(err).not.toContain("hunter2");
    },
  );

  test("in both at once, with the file that is not there", async () => {
    const { code, err } = await sekisho(["sessions"], {
      ...REST,
      SEKISHO_REDIS_URL: "redis://:hunter2%@127.0.0.1:1",
      SEKISHO_DATABASE_URL: "postgres://sekisho:hunter2%@127.0.0.1:1/sekisho",
      SEKISHO_REDIS_PASSWORD_FILE: join(folder, "missing"),
    });
    expect(code).toBe(2);
    const named = [...err.matchAll(/^ {2}(\w+)=/gm)].map(([, name]) => name);
    expect(named.sort()).toEqual([
      "SEKISHO_DATABASE_URL",
      "SEKISHO_REDIS_PASSWORD_FILE",
      "SEKISHO_REDIS_URL",
    ]);
    expect(err).toContain(join(folder, "missing"));
    expect(err).not.toContain("hunter2");
  });
});

describe("a password of a file opens Redis", () => {
  let redis: RedisServer;
  let settings: Record<string, string>;
  beforeAll(async () => {
    redis = await RedisServer.start({ args: ["--requirepass", PASSWORD] });
    settings = { SEKISHO_REDIS_URL: redis.url, SEKISHO_REDIS_PASSWORD_FILE: file };
  });
  afterAll(() => redis.close());

  test("for every command and the sidecar", async () => {
    for (const args of [["log", "init"], USER, SESSION, ["nodes", "--json"]]) {
      const { code, err } = await sekisho(args, settings);
      expect([code, err]).toEqual([0, ""]);
    }
    const node = await AuthzNode.start({
      nodeId: "node-1",
      redisUrl: redis.url,
      settings,
      mint: { issuer: "https://issuer.example", audience: "api", jwksFile: "no-such-file.json" },
    });
    programs.push(node);
    const followed = async () => (await node.ops("/statusz")).body.includes('"state": "following"');
    await waitUntil(followed, { what: "the log to be followed", timeoutMs: 30_000 });
    expect(node.lines.join("\n")).not.toContain(PASSWORD);
  });

  test("and one that is wrong says which settings to look at", async () => {
    const wrong = join(folder, "wrong");
    await writeFile(wrong, "hunter2");
    const { code, err } = await sekisho(["nodes"], {
      ...settings,
      SEKISHO_REDIS_PASSWORD_FILE: wrong,
    });
    expect(code).toBe(1);
    expect(err).toContain("check user and password in SEKISHO_REDIS_URL and its password file");
    expect(err).not.toContain("hunter2");
  });

  test("as one in the URL does", async () => {
    const connections = patientConnections(
      redis.url.replace("//", `//:${encodeURIComponent(PASSWORD)}@`),
    );
    const connection = await connections();
    expect(await connection.client.ping()).toBe("PONG");
    connection.close();
  });
});

describe("a password of a file opens PostgreSQL", () => {
  let redis: RedisServer;
  let postgres: PostgresServer;
  let settings: Record<string, string>;
  let url: string;
  beforeAll(async () => {
    redis = await RedisServer.start();
    const access = join(folder, "pg_hba.conf");
    await writeFile(access, `local all postgres trust\nlocal all all scram-sha-256\n`);
    await chmod(access, 0o644);
    postgres = await PostgresServer.start({ settings: { hba_file: access } });
    const quoted = PASSWORD.replaceAll("'", "''");
    await postgres.query(`ALTER ROLE ${SERVICE_ROLE} PASSWORD '${quoted}'`);
    url = await postgres.createDatabase();
    settings = { SEKISHO_DATABASE_URL: url, SEKISHO_DATABASE_PASSWORD_FILE: file };
  });
  afterAll(async () => {
    await postgres.close();
    await redis.close();
  });

  test("for the commands and the session service", async () => {
    const create = ["sessions", "admin", "create", "--login", "root", "--json"];
    const refused = await sekisho(create, { SEKISHO_DATABASE_URL: url });
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("SEKISHO_DATABASE_PASSWORD_FILE");
    for (const args of [create, ["sessions", "after-restore"]]) {
      const { code, err } = await sekisho(args, settings);
      expect([code, err]).toEqual([0, ""]);
    }
    const service = await SessionsService.start({
      redisUrl: redis.url,
      database: { url },
      settings,
    });
    programs.push(service);
    await service.waitReady();
    expect(service.lines.join("\n")).not.toContain(PASSWORD);
  });
});
