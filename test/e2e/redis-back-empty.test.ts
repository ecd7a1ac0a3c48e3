/** Redis comes back without its data: nobody knows any more what was revoked. */
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { waitFor } from "../../dev/wait-for.js";
import { endOf } from "../support/following.js";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";

const STALE = "503 revocations_stale";
const REVOKED = "401 session_revoked";
/** Tokens issued up to this long after the log was opened could be older than it. */
const SKEW_S = "1";

const person = { tenant: "acme", user: "ann", session: "ann-laptop" };
const ended = { ...person, session: "ann-phone" };

let deployment: E2eDeployment;
let pods: Pod[];

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  const settings = { SEKISHO_CLOCK_SKEW_S: SKEW_S };
  pods = [
    await deployment.addPod("node-1", { settings }),
    await deployment.addPod("node-2", { settings }),
  ];
});
afterAll(() => deployment.close());

it("stays stale and says what to do, and after `log init` lets only newer tokens pass", async () => {
  const oldToken = deployment.token(person);
  const revokedToken = deployment.token(ended);
  await deployment.revoke(endOf(ended.session));
  for (const pod of pods) {
    await untilAnswered(pod, "/things", { token: revokedToken }, REVOKED);
    await untilAnswered(pod, "/things", { token: oldToken }, "200");
  }
  const revoked = pods.map((pod) =>
    deployment.poll(pod.name, pod.client, "/things", { token: revokedToken }),
  );
  const old = pods.map((pod) =>
    deployment.poll(pod.name, pod.client, "/things", { token: oldToken }),
  );

  await deployment.redis.kill();
  await deployment.redis.restart({ empty: true });
  for (const poller of old) await poller.until(STALE, -Infinity);
  const staleMs = performance.now();
  for (const pod of pods) await untilToldWhatToDo(pod);
  for (const poller of old) await poller.until(STALE, performance.now());

  const { exit, said } = await deployment.sekisho("log", "init");
  expect({ exit: exit.code, said }).toMatchObject({
    exit: 0,
    said: expect.stringContaining("Tokens issued before now are refused as stale"),
  });
  // A new login, repeated until it is certainly younger than the log.
  for (const pod of pods) await untilNewTokenPasses(pod);
  const newMs = performance.now();
  for (const poller of old) await poller.until(STALE, newMs);
  for (const poller of revoked) await poller.until(REVOKED, newMs);
  for (const poller of old) expect(poller.answered(staleMs)).toEqual([STALE]);
  // What a node knew, it goes on refusing: before, during and after.
  for (const poller of revoked) expect(poller.answered()).toEqual([REVOKED]);
  for (const pod of pods) {
    const reply = await pod.client.get("/timetable", { token: oldToken });
    const entry = await pod.envoy.accessLogOf(reply.headers["x-request-id"] ?? "");
    expect([reply.status, entry["reason"]]).toEqual([200, "allowed_stale"]);
  }

  // A node that starts now knows only what the new log holds, and the old token tells it nothing.
  const newborn = await deployment.addPod("node-3", { settings: { SEKISHO_CLOCK_SKEW_S: SKEW_S } });
  for (const token of [revokedToken, oldToken]) {
    expect(await newborn.client.seen("/things", { token, stale: true })).toBe(STALE);
  }
  await untilNewTokenPasses(newborn);
});

/** Ready stays 200 and says `degraded`: failing the probe would take every API out of service. */
async function untilToldWhatToDo(pod: Pod): Promise<void> {
  const page = await waitFor(
    async () => {
      const { status, body } = await pod.authz.ops("/readyz");
      const told = body.includes("sekisho log init") && body.includes("stale for");
      return told ? { status, body } : undefined;
    },
    { what: `/readyz of ${pod.name} to name \`sekisho log init\``, timeoutMs: 30_000 },
  );
  expect(page.status).toBe(200);
  expect(JSON.parse(page.body)).toMatchObject({
    status: "ready",
    components: {
      redis: { status: "ok" },
      revocations: {
        status: "degraded",
        detail: expect.stringMatching(
          /^stale for \d+ ms: the revocation log is gone from Redis, .*run `sekisho log init`.*$/,
        ),
      },
    },
  });
}

async function untilNewTokenPasses({ name, client }: Pod): Promise<void> {
  const seen = new Set<string>();
  await waitFor(
    async () => {
      const what = await client.seen("/things", {
        token: deployment.token({ ...person, session: "ann-again" }),
        stale: true,
      });
      seen.add(what);
      return what === "200" ? true : undefined;
    },
    { what: `${name} to let a new token pass`, timeoutMs: 30_000, everyMs: 20 },
  );
  expect([...seen].filter((what) => what !== STALE)).toEqual(["200"]);
}
