/** A node that starts while something is missing: up, not ready, saying why, and ready when mended. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import type { AuthzNode } from "../../dev/authz-node.js";
import { parseJsonLine } from "../../dev/child-process.js";
import { takeFreePort } from "../../dev/free-port.js";
import { RedisServer } from "../../dev/redis-server.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import { grpcHealthOf, untilServing } from "../support/e2e-health.js";
import { E2eDeployment, type Pod, type PodOptions } from "../support/e2e-deployment.js";
import { endOf, initLog, publish, redis } from "../support/following.js";
import { JwksServer } from "../support/jwks-server.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** Keys are fetched again after 1 s, 2 s, 4 s; Redis is tried again twice a second. */
const READY_TIMEOUT_MS = 60_000;
/** How many answers each kind of request gets while the node is not ready. */
const ANSWERS = 20;

const person = { tenant: "acme", user: "ann", session: "ann-laptop" };

const componentSchema = z.object({ status: z.string(), detail: z.string().optional() });
const readinessSchema = z.object({
  status: z.string(),
  components: z.record(z.string(), componentSchema),
});

let deployment: E2eDeployment;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  await deployment.revoke(endOf("revoked"));
});
afterAll(() => deployment.close());

interface Trouble {
  readonly component: string;
  /** What `/readyz` says of it, in one line. */
  readonly why: RegExp;
  readonly code: "revocations_stale" | "keys_unavailable";
}

/** Everything that is promised of a node that is not ready, until it is mended. */
async function expectUnready(pod: Pod, { component, why, code }: Trouble): Promise<void> {
  const found = await waitFor(
    async () => {
      const { status, body } = await pod.authz.ops("/readyz");
      const readiness = readinessSchema.parse(JSON.parse(body));
      const detail = readiness.components[component]?.detail ?? "";
      return why.test(detail) ? { status, readiness, detail } : undefined;
    },
    {
      what: `/readyz to say ${why} of ${component}`,
      timeoutMs: 60_000,
      failure: (message) => new Error(`${message}\n${pod.authz.lines.join("\n")}`),
    },
  );
  expect(found).toMatchObject({ status: 503, readiness: { status: "not_ready" } });
  expect(found.readiness.components[component]?.status).toBe("failed");
  expect(found.detail).not.toContain("\n");
  expect(await grpcHealthOf(pod.authz)).toBe("NOT_SERVING");
  expect((await pod.authz.ops("/livez")).status).toBe(200);
  for (const session of ["ann-laptop", "revoked"]) {
    const token = deployment.token({ ...person, session });
    for (let count = 0; count < ANSWERS; count += 1) {
      const reply = await pod.client.get("/things", { token, stale: true });
      expect([reply.status, reply.problem?.code]).toEqual([503, code]);
      expect(reply.headers["retry-after"]).toBe("1");
    }
  }
  // Nobody's token is needed there, so nothing that is missing matters.
  expect(await pod.client.seen("/public")).toBe("200");
  await waitUntil(() => problemsIn(pod.authz).some((problem) => why.test(problem)), {
    what: "its log to say why",
    timeoutMs: 10_000,
  });
  // Not once for each attempt: only what is new is told.
  const told = problemsIn(pod.authz);
  expect(told.filter((problem, index) => problem === told[index - 1])).toEqual([]);
}

function problemsIn(node: AuthzNode): readonly string[] {
  return node.lines.flatMap((line) => {
    const parsed = z.object({ problem: z.string() }).safeParse(parseJsonLine(line));
    return parsed.success ? [parsed.data.problem] : [];
  });
}

/** It becomes ready by itself, and only then lets pass; the revoked one is refused throughout. */
async function expectReadyWhenMended(
  pod: Pod,
  { code }: Trouble,
  mend: () => void | Promise<void>,
): Promise<void> {
  const good = deployment.poll("good", pod.client, "/things", { token: deployment.token(person) });
  const revoked = deployment.poll("revoked", pod.client, "/things", {
    token: deployment.token({ ...person, session: "revoked" }),
  });
  await good.until(`503 ${code}`, -Infinity);
  await revoked.until(`503 ${code}`, -Infinity);
  await mend();
  await pod.authz.waitReady(READY_TIMEOUT_MS);
  const readyMs = performance.now();
  await good.until("200", readyMs);
  await revoked.until("401 session_revoked", readyMs);
  await untilServing(pod.authz);
  expect(good.decided(readyMs)).toEqual(["200"]);
  expect(revoked.decided(readyMs)).toEqual(["401 session_revoked"]);
  expect(revoked.kinds()).not.toContain("200");
  await deployment.stopPollers();
}

const addUnready = (name: string, options: PodOptions): Promise<Pod> =>
  deployment.addPod(name, { ...options, unready: true });

const withJwksUrl = (url: string): PodOptions => ({
  settings: { SEKISHO_JWKS_FILE: "", SEKISHO_JWKS_URL: url },
});

describe("a node starts", () => {
  it("while Redis cannot be reached", async () => {
    const port = await takeFreePort();
    const url = `redis://127.0.0.1:${port}`;
    const pod = await addUnready("no-redis", { redisUrl: url });
    const trouble: Trouble = {
      component: "redis",
      why: /Redis cannot be used now: .*ECONNREFUSED/,
      code: "revocations_stale",
    };
    await expectUnready(pod, trouble);
    await expectReadyWhenMended(pod, trouble, async () => {
      await deployment.keep(RedisServer.start({ port }), (server) => server.close());
      await initLog(url);
      expect(await publish(url, endOf("revoked"))).toMatchObject({ published: true });
    });
  });

  it("while Redis holds no log", async () => {
    const server = await deployment.keep(RedisServer.start(), (one) => one.close());
    const pod = await addUnready("no-log", { redisUrl: server.url });
    const trouble: Trouble = {
      component: "revocations",
      why: /there is no revocation log in this Redis: run `sekisho log init`/,
      code: "revocations_stale",
    };
    await expectUnready(pod, trouble);
    expect(await redis(server.url, "DBSIZE")).toBe(0);
    await expectReadyWhenMended(pod, trouble, async () => {
      await initLog(server.url);
      expect(await publish(server.url, endOf("revoked"))).toMatchObject({ published: true });
    });
  });

  it("while the issuer's keys cannot be fetched", async () => {
    const jwks = await deployment.keep(JwksServer.start(deployment.issuer.jwks()), (one) =>
      one.close(),
    );
    const target = new URL(jwks.url);
    const proxy = await deployment.keep(TcpProxy.start(Number(target.port)), (one) => one.close());
    proxy.cutOff();
    const url = `http://127.0.0.1:${new URL(proxy.url).port}${target.pathname}`;
    const pod = await addUnready("no-keys", withJwksUrl(url));
    const trouble: Trouble = {
      component: "keys",
      why: /could not be reached \(.+\): check the URL and the network/,
      code: "keys_unavailable",
    };
    await expectUnready(pod, trouble);
    await expectReadyWhenMended(pod, trouble, () => proxy.mend());
  });

  it("while the issuer publishes no key that can be used", async () => {
    const secret = { kty: "oct", kid: "key-1", k: "c2VjcmV0", alg: "HS256" };
    const jwks = await deployment.keep(JwksServer.start({ keys: [secret] }), (one) => one.close());
    const pod = await addUnready("useless-keys", withJwksUrl(jwks.url));
    const trouble: Trouble = {
      component: "keys",
      why: /the key set has no usable key: key "key-1"/,
      code: "keys_unavailable",
    };
    await expectUnready(pod, trouble);
    await expectReadyWhenMended(pod, trouble, () => jwks.serve(deployment.issuer.jwks()));
  });
});
