/** What the session service does where its surroundings are not as they should be, and at its end. */
import { createServer } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import { SessionsClient, type ApiAnswer } from "../../dev/sessions-client.js";
import { newKeySecret, runToEnd, type SessionsService } from "../../dev/sessions-service.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import type { PostgresServer } from "../../dev/postgres-server.js";
import { formatMs, reportMeasured } from "../support/e2e-report.js";
import {
  KEPT_IN,
  OPERATORS,
  PASSWORD,
  RunningSessions,
  SessionsDeployment,
} from "../support/sessions-deployment.js";

const POSTGRESQL = { name: "PostgreSQL" } as const;
/** A connection that is refused is noticed at once, well before a server that says nothing… */
const REFUSED_WITHIN_MS = 6000;
/** …and that after its statement's and its own time, which together are 7 s. */
const SILENT_WITHIN_MS = 14_000;
const BACK_WITHIN_MS = 60_000;
/** What platforms give a program after SIGTERM. */
const ENDS_WITHIN_MS = 10_000;
/** More than are hashed at once, so that some wait when it is told to end. */
const LOGINS = 12;
const START_MS = 60_000;
const TEST_MS = 180_000;

const problemSchema = z.object({ code: z.string() });
const readinessSchema = z.object({
  status: z.string(),
  components: z.record(z.string(), z.object({ status: z.string(), detail: z.string().optional() })),
});
const statusSchema = z.object({
  relay: z.object({ pending: z.object({ count: z.number() }).optional() }),
});

interface Trouble {
  readonly what: string;
  readonly withinMs: number;
  readonly begin: () => unknown;
  readonly end: () => unknown;
}

const deployments: (SessionsDeployment | RunningSessions)[] = [];
afterEach(async () => {
  for (const deployment of deployments.splice(0)) await deployment.close();
});

async function opened<T extends SessionsDeployment | RunningSessions>(
  opening: Promise<T>,
): Promise<T> {
  const deployment = await opening;
  deployments.push(deployment);
  return deployment;
}

/** "200", "503 database_unavailable", and how long it took. */
async function timed(asking: Promise<ApiAnswer>): Promise<{ what: string; ms: number }> {
  const askedMs = performance.now();
  const { status, body, atMs } = await asking;
  const code = status < 400 ? "" : ` ${problemSchema.parse(body).code}`;
  return { what: `${status}${code}`, ms: atMs - askedMs };
}

async function readiness(service: SessionsService) {
  const { status, body } = await service.ops("/readyz");
  return { http: status, ...readinessSchema.parse(JSON.parse(body)) };
}

/** Waits until `/readyz` says that of a component, and returns the page. */
async function untilTold(service: SessionsService, component: string, why: RegExp) {
  return waitFor(
    async () => {
      const page = await readiness(service);
      const told = page.components[component];
      return why.test(`${told?.status ?? ""}: ${told?.detail ?? ""}`) ? page : undefined;
    },
    {
      what: `/readyz to say ${why} of ${component}`,
      timeoutMs: START_MS,
      failure: (message) => new Error(`${message}\n${service.lines.slice(-8).join("\n")}`),
    },
  );
}

const postgresOf = ({ data }: SessionsDeployment): PostgresServer => {
  if (data.postgres === undefined) throw new Error("this database is no server");
  return data.postgres;
};

describe("with PostgreSQL", () => {
  it(
    "starts while the database is away, says so, and is ready when it is there",
    async () => {
      const deployment = await opened(SessionsDeployment.open(POSTGRESQL));
      const operator = await deployment.createOperator("root");
      await postgresOf(deployment).stop();
      const service = await deployment.startService();
      const client = await deployment.connect(service.url);
      const page = await untilTold(service, "database", /^failed: .+/);
      expect(page).toMatchObject({ http: 503, status: "not_ready" });
      expect((await service.ops("/livez")).status).toBe(200);
      const body = {
        tenant: OPERATORS,
        login: "root",
        password: PASSWORD,
        device_name: "a device",
      };
      const login = await timed(client.ask("POST", "/v1/login", { body }));
      expect(login.what).toBe("503 starting");
      expect(login.ms).toBeLessThan(REFUSED_WITHIN_MS);

      await postgresOf(deployment).restart();
      await service.waitReady();
      const oneTimePassword = operator.one_time_password;
      await client.enter({ tenant: OPERATORS, login: "root", oneTimePassword }, PASSWORD);
    },
    TEST_MS,
  );
});

describe("with PostgreSQL and a service that runs", () => {
  let running: RunningSessions;

  beforeAll(async () => {
    running = await RunningSessions.open(POSTGRESQL);
    await running.addTenant("acme");
  }, TEST_MS);
  afterAll(() => running.close());

  it(
    "takes the tokens that another instance on the same database has minted",
    async () => {
      const other = await running.base.startService();
      await other.waitReady();
      const otherClient = await running.base.connect(other.url);
      await running.addUser("acme", "ann");
      const credentials = { tenant: "acme", login: "ann", password: PASSWORD };
      const pods = [
        await running.addPod("keys-of-the-one"),
        await running.base.addPod("keys-of-the-other", other.jwksUrl),
      ];
      for (const [minting, accepting] of [
        [running.client, otherClient],
        [otherClient, running.client],
      ] as const) {
        const { accessToken: token, refreshToken } = await minting.login(credentials);
        expect((await accepting.ask("GET", "/v1/me/sessions", { token })).status).toBe(200);
        for (const { client } of pods) expect(await client.seen("/things", { token })).toBe("200");
        await accepting.refresh(refreshToken);
      }
    },
    TEST_MS,
  );

  it(
    "says which secret is wrong where it cannot read the keys of the others",
    async () => {
      const other = await running.base.startService({ keySecret: newKeySecret() });
      const page = await untilTold(
        other,
        "signing_keys",
        /^failed: .*cannot be decrypted: .*SEKISHO_SESSIONS_KEY_SECRET/,
      );
      expect(page).toMatchObject({ http: 503, status: "not_ready" });
      const client = await running.base.connect(other.url);
      expect((await timed(client.ask("GET", "/.well-known/jwks.json"))).what).toBe("503 starting");
      // The one with the right secret is not disturbed.
      await running.addTenant("globex");
    },
    TEST_MS,
  );

  it(
    "answers 503 in time while the database is stopped or hangs, and goes on by itself",
    async () => {
      const { client, service, operatorToken: token } = running;
      const person = await running.enter("acme", "bob");
      const requests = (): Promise<ApiAnswer>[] => [
        client.ask("GET", "/v1/admin/tenants", { token }),
        client.ask("POST", "/v1/refresh", { body: { refresh_token: person.refreshToken } }),
        client.ask("POST", "/v1/login", {
          body: { tenant: "acme", login: "bob", password: PASSWORD, device_name: "a device" },
        }),
        client.ask("POST", "/v1/admin/tenants/acme/users/bob/revoke-all", { token, body: {} }),
      ];
      const postgres = postgresOf(running.base);
      const troubles: readonly Trouble[] = [
        {
          what: "stopped",
          withinMs: REFUSED_WITHIN_MS,
          begin: () => postgres.stop(),
          end: () => postgres.restart(),
        },
        {
          what: "silent",
          withinMs: SILENT_WITHIN_MS,
          begin: () => postgres.pause(),
          end: () => postgres.resume(),
        },
      ];
      for (const { what: trouble, withinMs, begin, end } of troubles) {
        await begin();
        const answers = await Promise.all(requests().map(timed));
        expect(answers.map(({ what }) => what)).toEqual(
          answers.map(() => "503 database_unavailable"),
        );
        const longestMs = Math.max(...answers.map(({ ms }) => ms));
        expect(longestMs).toBeLessThan(withinMs);
        reportMeasured(`PostgreSQL ${trouble}: answered 503 after at most ${formatMs(longestMs)}`);
        const page = await untilTold(service, "database", /^degraded: .+/);
        expect(page).toMatchObject({ http: 200, status: "ready" });
        // Who checks tokens needs the keys and no database.
        expect((await client.ask("GET", "/.well-known/jwks.json")).status).toBe(200);
        await end();
        await waitUntil(
          async () => (await client.ask("GET", "/v1/admin/tenants", { token })).status === 200,
          { what: "the database to be used again", timeoutMs: BACK_WITHIN_MS, everyMs: 50 },
        );
        await untilTold(service, "database", /^ok: $/);
      }
      // Nothing of what was answered with 503 was done in the end: the token that was left is good.
      await client.refresh(person.refreshToken);
    },
    TEST_MS,
  );
});

describe("with PGlite", () => {
  it(
    "refuses to start where another instance has the folder",
    async () => {
      const running = await opened(RunningSessions.open({ name: "PGlite" }));
      const { exit, output } = await runToEnd(["sessions"], {
        database: running.base.data.database,
        settings: settingsOf(running.deployment.redis.url),
      });
      expect({ code: exit.code, output }).toMatchObject({
        code: 2,
        output: expect.stringMatching(
          /another process is using the data folder .*SEKISHO_DATABASE_URL/,
        ),
      });
      await running.addTenant("acme");
    },
    TEST_MS,
  );
});

describe.each(KEPT_IN)("on $name", (keptIn) => {
  it(
    "is ready and answers while Redis is away from the start, and publishes when it is there",
    async () => {
      const deployment = await opened(SessionsDeployment.open(keptIn));
      const operator = await deployment.createOperator("root");
      const { redis } = deployment.deployment;
      await redis.kill();
      const service = await deployment.startService();
      await service.waitReady();
      await untilTold(service, "revocation_log", /^degraded: .*Redis/);
      const client = await deployment.connect(service.url);
      const oneTimePassword = operator.one_time_password;
      const entry = { tenant: OPERATORS, login: "root", oneTimePassword };
      const { accessToken: token } = await client.enter(entry, PASSWORD);
      await client.createTenant(token, "acme");
      await client.createUser(token, "acme", { userId: "ann", login: "ann", password: PASSWORD });
      const ann = await client.login({ tenant: "acme", login: "ann", password: PASSWORD });
      const whose = { tenant: "acme", user: "ann" };
      expect(await client.revokeUser(token, whose)).toMatchObject({
        status: 202,
        published: false,
      });

      await redis.restart();
      await untilTold(service, "revocation_log", /^ok: $/);
      await waitUntil(async () => (await pendingOf(service)) === 0, {
        what: "everything to be published",
        timeoutMs: BACK_WITHIN_MS,
      });
      const pod = await deployment.addPod("node-1", service.jwksUrl);
      const refusal = await pod.client.seen("/things", { token: ann.accessToken });
      expect(refusal).toBe("401 user_epoch_superseded");
    },
    TEST_MS,
  );

  it(
    "names the address that another program has",
    async () => {
      const deployment = await opened(SessionsDeployment.open(keptIn));
      const port = await deployment.deployment.keep(listenSomewhere(), (taken) => taken.close());
      const { exit, output } = await runToEnd(["sessions"], {
        database: deployment.data.database,
        settings: {
          ...settingsOf(deployment.deployment.redis.url),
          SEKISHO_SESSIONS_LISTEN: port.address,
        },
      });
      expect({ code: exit.code, output }).toMatchObject({
        code: 2,
        output: expect.stringMatching(
          `cannot listen on SEKISHO_SESSIONS_LISTEN=${port.address}: .*EADDRINUSE`,
        ),
      });
    },
    TEST_MS,
  );

  it(
    "finishes what is under way at SIGTERM, ends with 0, and leaves nothing behind",
    async () => {
      const running = await opened(RunningSessions.open(keptIn));
      const { service, base } = running;
      await running.addTenant("acme");
      await running.addUser("acme", "ann");
      const credentials = { tenant: "acme", login: "ann", password: PASSWORD };
      const outcomes: PromiseSettledResult<unknown>[] = [];
      let underWay = 0;
      let settled: Promise<void> | undefined;
      const logIn = async (): Promise<void> => {
        const logins = Array.from({ length: LOGINS }, () => running.client.login(credentials));
        outcomes.push(...(await Promise.allSettled(logins)));
        settled = undefined;
      };
      await waitUntil(
        async () => {
          // All may be over before this test gets to look; then others follow.
          settled ??= logIn();
          underWay = await hashing(service);
          return underWay > 0;
        },
        { what: "logins to be under way", timeoutMs: BACK_WITHIN_MS, everyMs: 1 },
      );
      const askedMs = performance.now();
      const stopping = service.stop();
      await settled;
      await stopping;
      expect(performance.now() - askedMs).toBeLessThan(ENDS_WITHIN_MS);
      expect(() => process.kill(service.pid ?? 0, 0)).toThrow("ESRCH");
      const late = new SessionsClient(service.url);
      await expect(late.login(credentials)).rejects.toThrow("ECONNREFUSED");
      late.close();
      const open = "SELECT count(*) FROM sekisho.sessions WHERE tenant_id = 'acme'";
      const answered = outcomes.filter(({ status }) => status === "fulfilled").length;
      expect(answered).toBeGreaterThanOrEqual(underWay);
      // Who came too late was told so, and nothing was done for them.
      expect(await base.data.count(open)).toEqual([answered]);
      // In a folder it is the one who asks.
      const connected = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sekisho'";
      // A server's process notices a little later that its client has gone.
      await waitUntil(async () => (await base.data.count(connected))[0] === 0, {
        what: "no connection to be left",
        timeoutMs: BACK_WITHIN_MS,
      });
    },
    TEST_MS,
  );
});

const settingsOf = (redisUrl: string) => ({ SEKISHO_REDIS_URL: redisUrl });

async function pendingOf(service: SessionsService): Promise<number | undefined> {
  const { body } = await service.ops("/statusz");
  return statusSchema.parse(JSON.parse(body)).relay.pending?.count;
}

/** Passwords that are being hashed or wait for it. */
async function hashing(service: SessionsService): Promise<number> {
  const { body } = await service.ops("/metrics");
  const counts = [...body.matchAll(/^sekisho_password_hashing\{[^}]*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function listenSomewhere(): Promise<{ readonly address: string; close(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const { port } = z.object({ port: z.number() }).parse(server.address());
  return {
    address: `127.0.0.1:${port}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
