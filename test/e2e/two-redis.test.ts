/**
 * Two instances of the service share a database, and their settings lead to two Redis servers: what
 * one of them answers as in force is refused by the nodes of the log that the database means.
 */
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { z } from "zod";
import { RedisServer } from "../../dev/redis-server.js";
import type { SessionsService } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import { untilAnswered } from "../support/e2e-deployment.js";
import { RunningSessions } from "../support/sessions-deployment.js";

const PATH = "/things";
const USERS = 16;
const TEST_MS = 300_000;
const WAIT_MS = 120_000;

const relaySchema = z.object({
  relay: z.object({ relaying: z.boolean(), restores: z.number() }),
});
const readinessSchema = z.object({
  components: z.object({
    revocation_log: z.object({ status: z.string(), detail: z.string().optional() }),
  }),
});

let running: RunningSessions;
let y: RedisServer;

beforeAll(async () => {
  running = await RunningSessions.open({ name: "PostgreSQL" });
  y = await running.deployment.keep(RedisServer.start(), (server) => server.close());
  await running.addTenant("acme");
}, TEST_MS);
afterAll(() => running.close());

async function relayOf(service: SessionsService) {
  const { body } = await service.ops("/statusz");
  return relaySchema.parse(JSON.parse(body)).relay;
}

it(
  "acknowledges nothing from an instance whose Redis is not the one that the database means",
  async () => {
    const onY = await running.base.startService({ redisUrl: y.url });
    await onY.waitReady();
    await running.service.kill();
    await waitUntil(async () => (await relayOf(onY)).restores > 0, {
      what: "Y to be restored",
      timeoutMs: WAIT_MS,
    });
    const onX = await running.base.startService();
    await onX.waitReady();
    const [viaX, viaY] = [await running.base.connect(onX.url), await running.base.connect(onY.url)];
    const node = await running.base.addPod("node-1", onY.jwksUrl, { redisUrl: y.url });

    const names = Array.from({ length: USERS }, (_, i) => `user-${i}`);
    const password = "a password of their own";
    const users = [];
    for (const userId of names) {
      const user = { userId, login: userId, password, role: "user" };
      await viaY.createUser(running.operatorToken, "acme", user);
      const tokens = await viaY.login({ tenant: "acme", login: userId, password }, "a device");
      users.push({ userId, ...tokens });
    }
    const answers = [];
    for (const { userId: user, sessionId: session } of users) {
      const whose = { tenant: "acme", user, session };
      const { status, published } = await viaX.revokeSession(running.operatorToken, whose);
      answers.push([status, published]);
    }
    expect(answers).toEqual(names.map(() => [202, false]));
    for (const { accessToken } of users) {
      await untilAnswered(node, PATH, { token: accessToken }, "401 session_revoked");
    }
    const told = async () => {
      const { body } = await onX.ops("/readyz");
      return readinessSchema.parse(JSON.parse(body)).components.revocation_log;
    };
    await waitUntil(async () => (await told()).detail?.includes("SEKISHO_REDIS_URL") === true, {
      what: "/readyz to say so",
      timeoutMs: WAIT_MS,
    });
    expect((await told()).status).toBe("degraded");
    expect((await relayOf(onX)).relaying).toBe(false);
  },
  TEST_MS,
);
