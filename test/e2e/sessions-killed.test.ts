/**
 * The service is killed again and again, at random moments and also while it starts, in the middle
 * of revocations, logins and refreshes. Whatever was answered has happened and stays so.
 *
 * SEKISHO_TEST_SEED repeats the moments of a run, as far as moments can be repeated.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import { userPath, type ApiAnswer, type ApiRequest } from "../../dev/sessions-client.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import { formatMs, reportMeasured } from "../support/e2e-report.js";
import { untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { randomFrom } from "../support/random-source.js";
import { KEPT_IN, PASSWORD, RunningSessions, mapBounded } from "../support/sessions-deployment.js";

const PATH = "/things";
const REVOKED_ALL = "401 user_epoch_superseded";
const REVOKED_ONE = "401 session_revoked";
/** Each of them loses one session and everything else, and both once more: four revocations. */
const USERS = 50;
const REVOCATIONS = 4 * USERS;
/** How many of them are dealt with at the same time. */
const AT_ONCE = 6;
/** Kills of a running service, spread over all revocations; after every second one, one of its start. */
const KILLS = 10;
/** How long after the chosen revocation it is killed, at most. */
const KILL_DELAY_MS = 60;
/** Devices that only refresh, over and over. */
const REFRESHERS = 3;
const REFRESH_PAUSE_MS = 30;
/** From asking until there is an answer, over as many restarts as it takes. */
const ANSWER_MS = 240_000;
const TEST_MS = 540_000;
const START_MS = 180_000;

const eventsSchema = z.object({ event_ids: z.array(z.string()).min(1) });
const tokensSchema = z.object({
  access_token: z.string(),
  refresh_token: z.string(),
  session_id: z.string(),
});
const auditSchema = z.object({
  entries: z.array(z.object({ kind: z.string(), event_id: z.string().optional() })),
  next_cursor: z.string().optional(),
});
const statusSchema = z.object({
  relay: z.object({ pending: z.object({ count: z.number() }).optional() }),
});

type Tokens = z.infer<typeof tokensSchema>;
type Request = readonly [method: "GET" | "POST" | "DELETE", path: string, request?: ApiRequest];

describe.each(KEPT_IN)("with the session service on $name, killed at random moments", (keptIn) => {
  const seed = Number(process.env["SEKISHO_TEST_SEED"] ?? Date.now() % 1_000_000);
  const random = randomFrom(seed);
  let running: RunningSessions;
  let startMs = 0;
  const pods: Pod[] = [];
  const over = new AbortController();
  /** What was answered: by event id, whose token is refused with what from then on. */
  const answered: { readonly eventId: string; readonly token: string; readonly refusal: string }[] =
    [];
  const kills = { running: 0, starting: 0 };

  beforeAll(async () => {
    // A refresh whose answer was lost is repeated after the restart, which must not count as theft.
    running = await RunningSessions.open(keptIn, { SEKISHO_REFRESH_TOLERANCE_S: "60" });
    await running.addTenant("acme");
    pods.push(...(await running.addPods("node-1", "node-2")));
  }, START_MS);
  afterAll(async () => {
    over.abort();
    await running.close();
  });

  /** Asks until it is answered by anything but a fault of the system. */
  async function insist(
    ...[method, path, request]: Request
  ): Promise<ApiAnswer & { readonly repeated: boolean }> {
    let attempts = 0;
    return waitFor(
      async () => {
        attempts += 1;
        const answer = await running.client.ask(method, path, request).catch(() => undefined);
        if (answer === undefined || answer.status === 503) return undefined;
        return { ...answer, repeated: attempts > 1 };
      },
      { what: `an answer to ${method} ${path}`, timeoutMs: ANSWER_MS, everyMs: 25 },
    );
  }

  async function createUser(user: string): Promise<void> {
    const body = { user_id: user, login: user, password: PASSWORD };
    const request = { token: running.operatorToken, body };
    const { status, repeated } = await insist("POST", "/v1/admin/tenants/acme/users", request);
    // The one before the answer may have been the one that made them.
    expect([user, repeated && status === 409 ? 201 : status]).toEqual([user, 201]);
  }

  async function login(user: string): Promise<Tokens> {
    const body = { tenant: "acme", login: user, password: PASSWORD, device_name: "a device" };
    const answer = await insist("POST", "/v1/login", { body });
    expect([user, answer.status]).toEqual([user, 200]);
    return tokensSchema.parse(answer.body);
  }

  async function revoke(request: Request, token: string, refusal: string): Promise<void> {
    const answer = await insist(...request);
    expect([200, 202]).toContain(answer.status);
    for (const eventId of eventsSchema.parse(answer.body).event_ids) {
      answered.push({ eventId, token, refusal });
    }
  }

  async function liveAndLoseAll(user: string): Promise<{ readonly ended: Tokens[] }> {
    await createUser(user);
    const [one, other] = [await login(user), await login(user)];
    const path = userPath({ tenant: "acme", user });
    const act = { token: running.operatorToken };
    const endOne = ["DELETE", `${path}/sessions/${one.session_id}?wait_ms=0`, act] as const;
    const endAll = ["POST", `${path}/revoke-all?wait_ms=0`, { ...act, body: {} }] as const;
    // The second time as someone does who is in doubt: an act of its own, which is audited as well.
    for (let time = 1; time <= 2; time += 1) {
      await revoke(endOne, one.access_token, REVOKED_ONE);
      await revoke(endAll, other.access_token, REVOKED_ALL);
    }
    return { ended: [one, other] };
  }

  async function refresh(tokens: Tokens): Promise<Tokens> {
    const body = { refresh_token: tokens.refresh_token };
    const answer = await insist("POST", "/v1/refresh", { body });
    expect([answer.status, answer.body]).toMatchObject([200, { session_id: tokens.session_id }]);
    return tokensSchema.parse(answer.body);
  }

  /** Each new token must work the next time, however often the service was killed in between. */
  async function keepRefreshing(first: Tokens, until: AbortSignal): Promise<Tokens> {
    let tokens = first;
    let count = 0;
    // Often enough to have met a kill, also where everything else was quick.
    while (!until.aborted || count <= KILLS) {
      tokens = await refresh(tokens);
      count += 1;
      await delay(REFRESH_PAUSE_MS, undefined, { signal: until }).catch(() => undefined);
    }
    return tokens;
  }

  async function start(killed?: AbortSignal) {
    return running.base.startService({
      listen: running.service.listen,
      ...(killed === undefined ? {} : { killed }),
    });
  }

  /** Until everything was dealt with, whatever happens to the jobs. */
  async function killAgainAndAgain(): Promise<void> {
    const points = Array.from({ length: KILLS }, () => Math.floor(random() * REVOCATIONS * 0.95));
    for (const [index, point] of points.sort((a, b) => a - b).entries()) {
      await waitUntil(() => answered.length >= point || over.signal.aborted, {
        what: `revocation ${point}`,
        timeoutMs: TEST_MS,
        everyMs: 1,
      });
      if (over.signal.aborted) return;
      await delay(random() * KILL_DELAY_MS);
      await running.service.kill();
      kills.running += 1;
      if (index % 2 === 0) await killWhileStarting();
      running.service = await start();
    }
  }

  async function killWhileStarting(): Promise<void> {
    const killed = new AbortController();
    const starting = start(killed.signal).catch(() => undefined);
    await delay(random() * startMs);
    killed.abort();
    await (
      await starting
    )?.exited;
    kills.starting += 1;
  }

  async function readAudit(kind: string): Promise<Set<string | undefined>> {
    const ids = new Set<string | undefined>();
    let cursor: string | undefined;
    do {
      const query = `kind=${kind}&limit=200${cursor === undefined ? "" : `&cursor=${cursor}`}`;
      const path = `/v1/admin/tenants/acme/audit?${query}`;
      const answer = await running.client.ask("GET", path, { token: running.operatorToken });
      const page = auditSchema.parse(answer.body);
      for (const entry of page.entries) ids.add(entry.event_id);
      cursor = page.next_cursor;
    } while (cursor !== undefined);
    return ids;
  }

  it(
    "loses nothing that was answered, and leaves nothing half done",
    async () => {
      const firstMs = performance.now();
      await running.service.kill();
      running.service = await start();
      await running.service.waitReady();
      startMs = performance.now() - firstMs;
      await createUser("faithful");
      const devices = await mapBounded(Array.from({ length: REFRESHERS }), 2, () =>
        login("faithful"),
      );
      const beganMs = performance.now();

      const users = Array.from({ length: USERS }, (_, number) => `user-${number}`);
      const killing = killAgainAndAgain();
      const refreshing = devices.map((device) => keepRefreshing(device, over.signal));
      const lives = await Promise.all([mapBounded(users, AT_ONCE, liveAndLoseAll), killing])
        .then(([result]) => result)
        .finally(() => over.abort());
      const kept = await Promise.all(refreshing);
      const tookMs = performance.now() - beganMs;
      expect(answered).toHaveLength(REVOCATIONS);

      await running.service.kill();
      running.service = await start();
      await running.service.waitReady();

      for (const { name, client } of pods) {
        for (const { token, refusal } of answered) {
          await untilAnswered({ name, client }, PATH, { token }, refusal);
        }
      }
      for (const tokens of kept) {
        const next = await refresh(tokens);
        for (const pod of pods) {
          await untilAnswered(pod, PATH, { token: next.access_token }, "200");
        }
      }
      for (const { refresh_token } of lives.flatMap(({ ended }) => ended)) {
        const answer = await insist("POST", "/v1/refresh", { body: { refresh_token } });
        expect([answer.status, answer.body]).toMatchObject([401, { code: "session_ended" }]);
      }
      const audited = new Map([
        [REVOKED_ONE, await readAudit("session_revoked")],
        [REVOKED_ALL, await readAudit("user_revoked")],
      ]);
      const unaudited = answered.filter(
        ({ eventId, refusal }) => audited.get(refusal)?.has(eventId) !== true,
      );
      expect(unaudited).toEqual([]);
      await untilNothingIsPending();
      await running.service.stop();
      const counts = await running.base.data.count(...Object.values(HALF_DONE));
      const halfDone = Object.keys(HALF_DONE).filter((_, index) => counts[index] !== 0);
      expect(halfDone).toEqual([]);
      reportMeasured(
        `${keptIn.name}, seed ${seed}: ${kills.running} kills and ${kills.starting} of a start over ` +
          `${answered.length} revocations in ${formatMs(tookMs)}; a start took ${formatMs(startMs)}`,
      );
      expect(kills.running + kills.starting).toBeGreaterThanOrEqual(15);
    },
    TEST_MS,
  );

  async function untilNothingIsPending(): Promise<void> {
    await waitUntil(
      async () => {
        const { body } = await running.service.ops("/statusz");
        return statusSchema.parse(JSON.parse(body)).relay.pending?.count === 0;
      },
      { what: "everything to be recorded as published", timeoutMs: 60_000 },
    );
  }
});

/** What must not be there, whenever the service was killed. */
const HALF_DONE = {
  "a session without a refresh token": `
    SELECT count(*) FROM sekisho.sessions s WHERE NOT EXISTS (SELECT FROM sekisho.refresh_tokens r
      WHERE r.tenant_id = s.tenant_id AND r.session_id = s.session_id)`,
  "a session whose login is not in the audit trail": `
    SELECT count(*) FROM sekisho.sessions s WHERE NOT EXISTS (SELECT FROM sekisho.audit a
      WHERE a.tenant_id = s.tenant_id AND a.session_id = s.session_id
        AND a.kind = 'login' AND a.outcome = 'done')`,
  "a session that was ended without a revocation": `
    SELECT count(*) FROM sekisho.sessions s WHERE s.ended_at IS NOT NULL AND NOT EXISTS
      (SELECT FROM sekisho.revocations r WHERE r.tenant_id = s.tenant_id AND
        (r.session_id = s.session_id OR r.kind = 'user_revoked' AND r.user_id = s.user_id))`,
  "a revocation that is not in the audit trail": `
    SELECT count(*) FROM sekisho.revocations r WHERE NOT EXISTS (SELECT FROM sekisho.audit a
      WHERE a.tenant_id = r.tenant_id AND a.event_id = r.event_id)`,
  "an act in the audit trail without its revocation": `
    SELECT count(*) FROM sekisho.audit a WHERE a.event_id IS NOT NULL AND NOT EXISTS
      (SELECT FROM sekisho.revocations r WHERE r.tenant_id = a.tenant_id AND r.event_id = a.event_id)`,
  "a user without a password": `
    SELECT count(*) FROM sekisho.users u WHERE NOT EXISTS (SELECT FROM sekisho.credentials c
      WHERE c.tenant_id = u.tenant_id AND c.user_id = u.user_id)`,
  "a user whose creation is not in the audit trail": `
    SELECT count(*) FROM sekisho.users u WHERE u.tenant_id = 'acme' AND NOT EXISTS
      (SELECT FROM sekisho.audit a WHERE a.tenant_id = u.tenant_id AND a.user_id = u.user_id
        AND a.kind = 'user_created')`,
};
