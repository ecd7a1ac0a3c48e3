/** Every program and command in a pod beside which there are Services named `sekisho…`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";

import { AuthzNode } from "../../dev/authz-node.js";
import { parseJsonLine } from "../../dev/child-process.js";
import { RedisServer } from "../../dev/redis-server.js";
import type { SekishoProgram } from "../../dev/sekisho-program.js";
import { SessionsService } from "../../dev/sessions-service.js";
import { copyPgliteTemplate } from "../support/pglite-template.js";
import { sekisho } from "../support/sekisho-command.js";
import { linksOf } from "../support/kubernetes-service-links.js";

const LINKS = {
  ...linksOf("sekisho", "10.96.0.17", [{ port: 9191, name: "grpc" }]),
  ...linksOf("sekisho-sessions", "fd00:10:96::a", [
    { port: 9180, name: "http" },
    { port: 9181, name: "ops" },
  ]),
};
/** The node need not become ready. */
const MINT = { issuer: "https://issuer.example", audience: "api", jwksFile: "no-such-file.json" };

let parent: string;
let redis: RedisServer;
const programs: SekishoProgram[] = [];

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-links-"));
  redis = await RedisServer.start();
});
afterEach(async () => {
  await Promise.all(programs.splice(0).map((program) => program.kill()));
});
afterAll(async () => {
  await redis.close();
  await rm(parent, { recursive: true, force: true });
});

function ignored({ lines }: SekishoProgram): unknown[] {
  const parsed = lines.map(parseJsonLine);
  return parsed.filter((line) => JSON.stringify(line).includes("Kubernetes"));
}

const LINE = {
  level: "info",
  count: Object.keys(LINKS).length,
  variables: Object.keys(LINKS).sort().slice(0, 8),
};

describe("service links are ignored", () => {
  test("by the sidecar, which says so in one line", async () => {
    const node = await AuthzNode.start({
      nodeId: "node-1",
      redisUrl: redis.url,
      mint: MINT,
      settings: LINKS,
    });
    programs.push(node);
    expect(ignored(node)).toEqual([expect.objectContaining(LINE)]);
  });

  test("by the session service, which says so in one line", async () => {
    const folder = join(parent, "service");
    await copyPgliteTemplate(folder);
    const service = await SessionsService.start({
      redisUrl: redis.url,
      database: { folder },
      settings: LINKS,
    });
    programs.push(service);
    expect(ignored(service)).toEqual([expect.objectContaining(LINE)]);
  });

  test("by the sidecar without such a line where there are none", async () => {
    const node = await AuthzNode.start({ nodeId: "node-1", redisUrl: redis.url, mint: MINT });
    programs.push(node);
    expect(ignored(node)).toEqual([]);
  });

  test("by the commands at Redis, which print what they print without them", async () => {
    const settings = { SEKISHO_REDIS_URL: redis.url, ...LINKS };
    const opened = await sekisho(["log", "init", "--nothing-was-revoked"], settings);
    expect([opened.code, opened.err]).toEqual([0, ""]);
    const session = ["revoke", "session", "--tenant", "t", "--session", "s", "--json"];
    const user = ["revoke", "user", "--tenant", "t", "--user", "u", "--epoch", "1", "--json"];
    for (const args of [session, user, ["nodes", "--json"], [...session, "--break-glass"]]) {
      const { code, out, err } = await sekisho(args, settings);
      expect([code, err]).toEqual([0, ""]);
      expect(JSON.parse(out)).toBeInstanceOf(Object);
    }
  });

  test("by the commands beside the session service", async () => {
    const folder = join(parent, "commands");
    await copyPgliteTemplate(folder);
    const settings = { SEKISHO_DATA_DIR: folder, ...LINKS };
    const create = ["sessions", "admin", "create", "--login", "root", "--json"];
    const created = await sekisho(create, settings);
    expect([created.code, created.err]).toEqual([0, ""]);
    expect(JSON.parse(created.out)).toMatchObject({ login: "root" });
    const restored = await sekisho(["sessions", "after-restore"], settings);
    expect([restored.code, restored.err]).toEqual([0, ""]);
  });

  test("by the commands through the session service", async () => {
    // A port that fetch does not refuse by itself and on which nothing listens.
    const url = "http://127.0.0.1:2";
    const settings = { SEKISHO_SESSIONS_URL: url, SEKISHO_SESSIONS_TOKEN: "a.b.c", ...LINKS };
    const user = ["revoke", "user", "--tenant", "t", "--user", "u", "--issued-before", "now"];
    for (const args of [user, ["nodes"]]) {
      const { err } = await sekisho(args, settings);
      expect(err).not.toContain("in the configuration");
    }
  });
});
