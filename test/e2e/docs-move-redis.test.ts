/** Follows docs/operations.md, "Move to another Redis", step by step, with a node that comes late. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import { RedisServer } from "../../dev/redis-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import type { SessionsService } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import {
  documentedSteps,
  isAsDocumented,
  type DocumentedStep,
} from "../support/documented-steps.js";
import type { Pod } from "../support/e2e-deployment.js";
import { sekisho, type Ended } from "../support/sekisho-command.js";
import { RunningSessions, type LoggedIn } from "../support/sessions-deployment.js";

const PATH = "/things";
const STALE = "503 revocations_stale";
const UNTIL_MS = 30_000;

const document = readFileSync(join(repositoryRoot(), "docs", "operations.md"), "utf8");
const [, section = ""] = /^## Move to another Redis\n([^]*?)^## /m.exec(document) ?? [];
const steps = documentedSteps(section.replaceAll(/^ {3}/gm, ""));

const receiptSchema = z.object({
  confirmed: z.boolean(),
  applied: z.number(),
  silent: z.array(z.object({ node: z.string(), reason: z.string().optional() })),
});

let running: RunningSessions;
let next: RedisServer;
let service: SessionsService;
let pods: readonly Pod[];
let late: Pod | undefined;
let ann: LoggedIn;
let bob: LoggedIn;

beforeAll(async () => {
  running = await RunningSessions.open({ name: "PostgreSQL" });
  next = await running.deployment.keep(RedisServer.start(), (server) => server.close());
  await running.addTenant("acme");
  pods = await running.addPods("node-1", "node-2");
  [ann, bob] = [await running.enter("acme", "ann"), await running.enter("acme", "bob")];
});
afterAll(() => running.close());

const seen = (pod: Pod, whose: LoggedIn) =>
  pod.client.seen(PATH, { token: whose.accessToken, stale: true });
const until = (pod: Pod, whose: LoggedIn, answer: string) =>
  waitUntil(async () => (await seen(pod, whose)) === answer, { what: answer, timeoutMs: UNTIL_MS });

/** As the document says it, with the addresses and the database of here. */
async function run({ commands }: DocumentedStep): Promise<Ended> {
  const [, host, args = ""] =
    /^SEKISHO_REDIS_URL=redis:\/\/redis-(old|new)\S+ sekisho (.*)$/.exec(commands) ?? [];
  const { database } = running.base.data;
  if (!("url" in database)) throw new Error("not a PostgreSQL");
  return sekisho(args.split(" "), {
    SEKISHO_REDIS_URL: host === "old" ? running.deployment.redis.url : next.url,
    SEKISHO_DATABASE_URL: database.url,
  });
}

async function revokeAll(whose: LoggedIn) {
  const token = running.operatorToken;
  const client = await running.base.connect(service.url);
  const path = `/v1/admin/tenants/acme/users/${whose.user}/revoke-all?wait_ms=5000`;
  return receiptSchema.parse((await client.ask("POST", path, { token, body: {} })).body);
}

const before: Readonly<Record<string, () => Promise<void>>> = {
  "stop the service": async () => {
    for (const pod of pods) await until(pod, ann, "200");
    // The service looks once a second who has joined.
    const known = "SELECT count(*) AS count FROM sekisho.log_nodes";
    await waitUntil(async () => (await running.base.data.count(known))[0] === 2, {
      what: "the database to know both nodes",
      timeoutMs: UNTIL_MS,
    });
    await running.service.stop();
  },
  "start the service on the new Redis": async () => {
    // Whatever is acknowledged from now on, no node of the old log allows it.
    for (const pod of pods) await until(pod, ann, STALE);
    service = await running.base.startService({ redisUrl: next.url });
    await service.waitReady();
  },
  "start the nodes on the new Redis, one of them late": async () => {
    const moved = { redisUrl: next.url };
    const first = await running.base.addPod("node-1", service.jwksUrl, moved);
    await until(first, bob, "200");
    const receipt = await revokeAll(ann);
    expect(receipt).toMatchObject({ confirmed: true, applied: 1 });
    expect(receipt.silent).toMatchObject([{ node: "node-2", reason: "former_log" }]);
    for (const pod of pods) expect(await seen(pod, ann)).toBe(STALE);
    late = await running.base.addPod("node-2", service.jwksUrl, moved);
    await until(late, bob, "200");
    expect(await seen(late, ann)).toBe("401 user_epoch_superseded");
  },
};

describe("docs/operations.md, Move to another Redis", () => {
  it("is what two nodes, the service and two Redis servers do", async () => {
    expect(steps.map((step) => step.before)).toEqual([
      ["stop the service"],
      ["start the service on the new Redis", "start the nodes on the new Redis, one of them late"],
    ]);
    for (const step of steps) {
      for (const told of step.before) await before[told]?.();
      // A node may be held up for a moment, and is behind or silent then.
      await waitUntil(
        async () => {
          const { code, out } = await run(step);
          return code === 0 && isAsDocumented(step.answer, out);
        },
        { what: step.commands, timeoutMs: UNTIL_MS },
      );
    }
    expect(late).toBeDefined();
  }, 300_000);
});
