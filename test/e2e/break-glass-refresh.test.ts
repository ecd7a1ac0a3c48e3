/**
 * The service has lost its Redis, which operators and nodes still reach. A cut-off that is published
 * past the service holds for what it refreshes meanwhile, too.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import type { SessionTokens } from "../../dev/sessions-client.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import { untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { sekisho } from "../support/sekisho-command.js";
import { KEPT_IN, RunningSessions, type LoggedIn } from "../support/sessions-deployment.js";
import { TcpProxy } from "../support/tcp-proxy.js";

const PATH = "/things";
const TENANT = "acme";
const START_MS = 120_000;
const TEST_MS = 120_000;
const WAIT_MS = 30_000;
/** Refreshes go on for so long without a search of the log. */
const UNSEARCHED_MAX_S = 5;

const problemSchema = z.object({ code: z.string() });
const readinessSchema = z.object({
  status: z.string(),
  components: z.object({
    revocation_log: z.object({ status: z.string(), detail: z.string().optional() }),
  }),
});

const nextSecond = (): number => Math.floor(Date.now() / 1000) + 1;
const untilSecond = (second: number): Promise<void> =>
  waitUntil(() => Date.now() >= second * 1000, { what: "the cut-off to pass", timeoutMs: WAIT_MS });

describe.each(KEPT_IN)("a service on $name that has lost its Redis", (keptIn) => {
  let running: RunningSessions;
  let way: TcpProxy;
  let pod: Pod;

  beforeAll(async () => {
    running = await RunningSessions.open(keptIn);
    way = await running.deployment.keep(TcpProxy.start(running.deployment.redis.port), (one) =>
      one.close(),
    );
    await running.addTenant(TENANT);
    await restart({});
    pod = await running.addPod("node-1");
  }, START_MS);
  afterAll(() => running.close());

  /** The service once more, behind the proxy and at the same address, so that its client stays. */
  async function restart(settings: Readonly<Record<string, string>>): Promise<void> {
    const { listen } = running.service;
    await running.service.stop();
    const options = { redisUrl: way.url, listen, settings };
    running.service = await running.base.startService(options);
    await running.service.waitReady();
  }

  const seen = ({ accessToken: token }: SessionTokens) => pod.client.seen(PATH, { token });
  const untilSeen = ({ accessToken: token }: SessionTokens, expected: string) =>
    untilAnswered(pod, PATH, { token }, expected);

  async function cutOff({ user }: LoggedIn, second: number): Promise<void> {
    const whose = ["--tenant", TENANT, "--user", user, "--issued-before", String(second)];
    const args = ["revoke", "user", ...whose, "--break-glass", "--wait", "5000"];
    const { code, out, err } = await sekisho(args, {
      SEKISHO_REDIS_URL: running.deployment.redis.url,
    });
    expect({ code, said: `${out}${err}` }).toMatchObject({ code: 0 });
  }

  /** "200", or the status and the problem's code. */
  async function refreshed({ refreshToken }: SessionTokens): Promise<string> {
    const body = { refresh_token: refreshToken };
    const answer = await running.client.ask("POST", "/v1/refresh", { body });
    if (answer.status === 200) return "200";
    return `${answer.status} ${problemSchema.parse(answer.body).code}`;
  }

  it(
    "gives no token that outlives a cut-off, and ends the session when it is back",
    async () => {
      const ann = await running.enter(TENANT, "ann");
      await untilSeen(ann, "200");
      way.cutOff();
      const second = nextSecond();
      await cutOff(ann, second);
      await untilSeen(ann, "401 token_issued_before_cutoff");
      await untilSecond(second);
      const next = await running.client.refresh(ann.refreshToken);
      expect(await seen(next)).toBe("401 token_issued_before_cutoff");
      // A new login is let in, and stays in.
      const again = await running.login(ann);
      expect(await seen(again)).toBe("200");
      const further = await running.client.refresh(again.refreshToken);
      expect(await seen(further)).toBe("200");

      way.mend();
      await untilSeen(next, "401 session_revoked");
      expect(await refreshed(next)).toBe("401 session_ended");
      expect(await seen(further)).toBe("200");
      expect(await refreshed(further)).toBe("200");
    },
    TEST_MS,
  );

  it(
    "refuses refreshes after a time, says so, and uses no refresh token up",
    async () => {
      await restart({
        SEKISHO_REFRESH_UNSEARCHED_MAX_S: String(UNSEARCHED_MAX_S),
        // A token that was used up is refused for good.
        SEKISHO_REFRESH_TOLERANCE_S: "0",
        SEKISHO_REFRESH_RETRY_S: "0",
      });
      const [bob, carl] = await running.enterMany(TENANT, "b", 2);
      if (bob === undefined || carl === undefined) throw new Error("two were to enter");
      expect(await refreshed(carl)).toBe("200");
      way.cutOff();
      let last = await running.client.refresh(bob.refreshToken);
      const refusal = await waitFor(
        async () => {
          const body = { refresh_token: last.refreshToken };
          const answer = await running.client.ask("POST", "/v1/refresh", { body });
          if (answer.status !== 200) return answer;
          last = { ...last, refreshToken: refreshTokenSchema.parse(answer.body).refresh_token };
          return undefined;
        },
        { what: "a refresh to be refused", timeoutMs: WAIT_MS },
      );
      expect(refusal).toMatchObject({ status: 503, body: { code: "log_unavailable" } });
      expect(Number(refusal.headers["retry-after"])).toBeGreaterThan(0);
      await cutOff(carl, nextSecond());
      expect((await running.login(bob)).sessionId).not.toBe(bob.sessionId);
      await waitUntil(
        async () => (await readiness()).components.revocation_log.detail !== undefined,
        {
          what: "/readyz to say so",
          timeoutMs: WAIT_MS,
        },
      );
      await waitUntil(async () => (await gauge("sekisho_refreshes_gated")) === 1, {
        what: "the metric to say so",
        timeoutMs: WAIT_MS,
      });
      const told = await readiness();
      expect(told.status).toBe("ready");
      expect(told.components.revocation_log).toMatchObject({
        status: "degraded",
        detail: expect.stringMatching(/refreshes are refused.*SEKISHO_REFRESH_UNSEARCHED_MAX_S/),
      });
      expect(await gauge("sekisho_log_unsearched_seconds")).toBeGreaterThan(UNSEARCHED_MAX_S);

      way.mend();
      await waitUntil(async () => (await refreshed(last)) === "200", {
        what: "the token that was refused to be taken",
        timeoutMs: WAIT_MS,
      });
      await untilSeen(carl, "401 session_revoked");
      await waitUntil(async () => (await gauge("sekisho_refreshes_gated")) === 0, {
        what: "the metric to say that it is over",
        timeoutMs: WAIT_MS,
      });
    },
    TEST_MS,
  );

  async function readiness() {
    const { body } = await running.service.ops("/readyz");
    return readinessSchema.parse(JSON.parse(body));
  }

  async function gauge(name: string): Promise<number | undefined> {
    const { body } = await running.service.ops("/metrics");
    const value = new RegExp(`^${name} (\\S+)$`, "m").exec(body)?.[1];
    return value === undefined ? undefined : Number(value);
  }
});

const refreshTokenSchema = z.object({ refresh_token: z.string() });
