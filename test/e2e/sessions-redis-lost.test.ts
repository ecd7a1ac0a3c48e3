/**
 * Redis is lost with what it held. The database is the truth: the service makes the log anew, and
 * nobody whose token was revoked, before or meanwhile, gets past any node.
 */
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import type { SessionsClient } from "../../dev/sessions-client.js";
import type { SessionsService } from "../../dev/sessions-service.js";
import { waitUntil } from "../../dev/wait-for.js";
import type { HttpClient } from "../support/e2e-http.js";
import type { Poller } from "../support/e2e-poller.js";
import { formatByNode, formatMs, reportMeasured } from "../support/e2e-report.js";
import { untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { redis } from "../support/following.js";
import {
  KEPT_IN,
  RunningSessions,
  mapBounded,
  type LoggedIn,
} from "../support/sessions-deployment.js";

const PATH = "/things";
const STALE = "503 revocations_stale";
const REVOKED_ALL = "401 user_epoch_superseded";
const REVOKED_ONE = "401 session_revoked";
/** SEKISHO_MAX_STALENESS_MS, as it is by default. */
const STALENESS_MS = 1000;
/** Promised from Redis's return until every node is right again. */
const RIGHT_WITHIN_MS = 5000;
/** Promised until another instance does the work of one that was killed. */
const TAKEN_OVER_WITHIN_MS = 2000;
const TAKEOVER_ATTEMPTS = 3;
/** A revoking call does not wait for a Redis that is away. */
const ANSWERED_WITHIN_MS = 5000;
/** How many of each kind were revoked long before Redis is lost. */
const EARLIER = 12;
/** How many of each kind after the copy that Redis comes back with was made. */
const SINCE_THE_COPY = 4;
const SLOW_MS = 180_000;

interface Revoked {
  readonly token: string;
  readonly refusal: string;
}

interface Watched {
  readonly pod: Pick<Pod, "name" | "client">;
  readonly good: Poller;
  readonly earlier: Poller;
  readonly victims: Poller;
}

const statusSchema = z.object({ relay: z.object({ relaying: z.boolean() }) });
const configSchema = z.tuple([z.literal("dir"), z.string()]);

describe.each(KEPT_IN)("with the session service on $name, Redis is lost", (keptIn) => {
  let running: RunningSessions;
  let good: LoggedIn;
  const pods: Pod[] = [];
  const earlier: Revoked[] = [];

  beforeAll(async () => {
    running = await RunningSessions.open(keptIn);
    await running.addTenant("acme");
    pods.push(...(await running.addPods("node-1", "node-2")));
    good = await running.enter("acme", "good");
    earlier.push(...(await revokeSome("early", EARLIER)));
  }, SLOW_MS);
  afterEach(() => running.deployment.stopPollers());
  afterAll(() => running.close());

  /** So many new users with everything they have, and so many sessions of another one. */
  async function revokeSome(prefix: string, count: number): Promise<Revoked[]> {
    const { client, operatorToken } = running;
    const users = await running.enterMany("acme", prefix, count);
    const devices = await mapBounded(users, 4, () => running.login(good, prefix));
    await mapBounded(users, 4, (user) => client.revokeUser(operatorToken, user));
    await mapBounded(devices, 4, (device) =>
      client.revokeSession(operatorToken, { ...device, session: device.sessionId }),
    );
    // In turn, so that whoever asks for some of them has soon asked for both kinds.
    const revoked = users.flatMap(({ accessToken: token }, index) => [
      { token, refusal: REVOKED_ALL },
      { token: devices[index]?.accessToken ?? "", refusal: REVOKED_ONE },
    ]);
    for (const pod of pods) {
      for (const { token, refusal } of revoked) await untilAnswered(pod, PATH, { token }, refusal);
    }
    return revoked;
  }

  /** Asks for each of them in turn, for as long as the test runs. */
  function watch(name: string, client: HttpClient, victims: readonly LoggedIn[]): Watched {
    const inTurn = (tokens: readonly string[]) => {
      let turn = 0;
      return () => ({ token: tokens[turn++ % tokens.length] ?? "" });
    };
    const poll = (tokens: readonly string[]) =>
      running.deployment.poll(name, client, PATH, inTurn(tokens));
    return {
      pod: { name, client },
      good: poll([good.accessToken]),
      earlier: poll(earlier.map(({ token }) => token)),
      victims: poll(victims.map(({ accessToken }) => accessToken)),
    };
  }

  async function startWatching(victims: readonly LoggedIn[]): Promise<Watched[]> {
    const watched = pods.map((pod) => watch(pod.name, pod.client, victims));
    for (const one of watched) {
      await one.good.until("200", -Infinity);
      await one.victims.until("200", -Infinity);
    }
    return watched;
  }

  /** Nobody can be told, and the answer says so. */
  async function revokeUnpublished(client: SessionsClient, victim: LoggedIn): Promise<void> {
    const askedMs = performance.now();
    const answer = await client.revokeUser(running.operatorToken, victim, { waitMs: 1000 });
    expect(answer).toMatchObject({ status: 202, published: false, acknowledged: false });
    expect(answer.atMs - askedMs).toBeLessThan(ANSWERED_WITHIN_MS);
  }

  async function startWhileAway(
    name: string,
    jwksUrl: string,
    victims: readonly LoggedIn[],
  ): Promise<Watched> {
    const { client } = await running.base.addPod(name, jwksUrl, { unready: true });
    return watch(name, client, victims);
  }

  /**
   * Every node lets the good token pass again and refuses the victims', in time; returns after how
   * many milliseconds each one did. By then it knows everything else that was revoked, too.
   */
  async function untilRight(
    watched: readonly Watched[],
    victims: readonly LoggedIn[],
    backMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const took = new Map<string, number>();
    await Promise.all(
      watched.map(async ({ pod, good: pass }) => {
        await pass.until("200", backMs);
        for (const { accessToken } of victims) await untilRefused(pod, accessToken, REVOKED_ALL);
        took.set(pod.name, performance.now() - backMs);
      }),
    );
    const late = [...took].filter(([, ms]) => ms >= RIGHT_WITHIN_MS);
    expect(late).toEqual([]);
    for (const { pod } of watched) {
      for (const { token, refusal } of earlier) await untilRefused(pod, token, refusal);
    }
    return took;
  }

  async function untilRefused(
    { name, client }: Watched["pod"],
    token: string,
    refusal: string,
  ): Promise<void> {
    await waitUntil(
      async () => {
        const seen = await client.seen(PATH, { token });
        if (!isUnable(seen)) expect([name, seen]).toEqual([name, refusal]);
        return seen === refusal;
      },
      { what: `${name} to answer ${refusal}`, timeoutMs: RIGHT_WITHIN_MS },
    );
  }

  /** What the pollers saw from the beginning to the end. */
  async function expectNoneSlippedPast(
    { old, born }: { readonly old: readonly Watched[]; readonly born: readonly Watched[] },
    lostMs: number,
  ): Promise<void> {
    const endMs = performance.now();
    for (const { good: pass, victims } of [...old, ...born]) {
      await pass.until("200", endMs);
      await victims.until(REVOKED_ALL, endMs);
      expect(answered(pass)).toEqual(["200"]);
    }
    await running.deployment.stopPollers();
    for (const { victims, earlier: known } of old) {
      expect(victims.kinds(lostMs + STALENESS_MS)).not.toContain("200");
      expect(answered(victims)).toEqual(["200", REVOKED_ALL]);
      // What a node knew, it goes on refusing.
      expect(answered(known)).toEqual([REVOKED_ONE, REVOKED_ALL]);
      expect(known.kinds()).not.toContain(STALE);
    }
    for (const { victims, earlier: known } of born) {
      expect(answered(victims)).toEqual([REVOKED_ALL]);
      for (const what of answered(known)) expect([REVOKED_ONE, REVOKED_ALL]).toContain(what);
    }
  }

  it(
    "comes back empty, and has everything again by itself",
    async () => {
      const { deployment, client, service } = running;
      const victims = await running.enterMany("acme", "victim-of-the-empty", 3);
      const old = await startWatching(victims);
      await deployment.redis.kill();
      const lostMs = performance.now();
      for (const victim of victims) await revokeUnpublished(client, victim);
      const born = [await startWhileAway("started-meanwhile", service.jwksUrl, victims)];
      for (const one of old) await one.good.until(STALE, -Infinity);

      await deployment.redis.restart({ empty: true });
      const took = await untilRight([...old, ...born], victims, performance.now());
      await expectNoneSlippedPast({ old, born }, lostMs);
      reportMeasured(`${keptIn.name}: empty Redis back to right: ${formatByNode(took)}`);
    },
    SLOW_MS,
  );

  it(
    "comes back with older data, and has everything again by itself",
    async () => {
      const { deployment, client, service } = running;
      const victims = await running.enterMany("acme", "victim-of-the-old", 3);
      const copy = await copyRedisData(running);
      earlier.push(...(await revokeSome("since-the-copy", SINCE_THE_COPY)));
      const old = await startWatching(victims);
      await deployment.redis.kill();
      const lostMs = performance.now();
      for (const victim of victims) await revokeUnpublished(client, victim);
      const born = [await startWhileAway("started-before-the-old", service.jwksUrl, victims)];
      for (const one of old) await one.good.until(STALE, -Infinity);

      await copy.putBack();
      await deployment.redis.restart();
      const backMs = performance.now();
      const later = "started-after-the-old";
      const joining = running.addPod(later, {
        early: (early) => born.push(watch(later, early, victims)),
      });
      // Whatever happens: nothing may be starting any more when everything is closed.
      const took = await untilRight([...old, ...born], victims, backMs).finally(() =>
        joining.catch(() => undefined),
      );
      await joining;
      await untilRight(born, victims, performance.now());
      await expectNoneSlippedPast({ old, born }, lostMs);
      reportMeasured(`${keptIn.name}: older Redis back to right: ${formatByNode(took)}`);
    },
    SLOW_MS,
  );

  // A folder has room for one instance.
  if (keptIn.name === "PostgreSQL") {
    it(
      "comes back empty after the instance that relayed was killed, and another one takes over",
      async () => {
        const { deployment } = running;
        let other = await running.base.startService();
        await other.waitReady();
        expect(await relays(running.service)).toBe(true);
        const victims = await running.enterMany("acme", "victim-of-two", 3);
        const old = await startWatching(victims);
        await deployment.redis.kill();
        const lostMs = performance.now();
        for (const victim of victims.slice(0, 2)) await revokeUnpublished(running.client, victim);
        let tookOverMs = await takeover(running.service, other);
        // The machine may stand still for longer than that; hardly each time.
        for (
          let left = TAKEOVER_ATTEMPTS;
          left > 1 && tookOverMs >= TAKEN_OVER_WITHIN_MS;
          left -= 1
        ) {
          const killed = other;
          other = await running.base.startService();
          await other.waitReady();
          tookOverMs = await takeover(killed, other);
        }
        expect(tookOverMs).toBeLessThan(TAKEN_OVER_WITHIN_MS);
        const otherClient = await running.base.connect(other.url);
        for (const victim of victims.slice(2)) await revokeUnpublished(otherClient, victim);
        const born = [await startWhileAway("started-with-another", other.jwksUrl, victims)];
        for (const one of old) await one.good.until(STALE, -Infinity);

        await deployment.redis.restart({ empty: true });
        const took = await untilRight([...old, ...born], victims, performance.now());
        await expectNoneSlippedPast({ old, born }, lostMs);
        reportMeasured(
          `${keptIn.name}: taken over in ${formatMs(tookOverMs)}, ` +
            `empty Redis back to right: ${formatByNode(took)}`,
        );
      },
      SLOW_MS,
    );
  }
});

async function relays(service: SessionsService): Promise<boolean> {
  const { body } = await service.ops("/statusz");
  return statusSchema.parse(JSON.parse(body)).relay.relaying;
}

/** Kills the one, and returns after how many milliseconds the other one relays. */
async function takeover(killed: SessionsService, other: SessionsService): Promise<number> {
  const killedMs = performance.now();
  await killed.kill();
  await waitUntil(() => relays(other), { what: "a takeover", timeoutMs: SLOW_MS });
  return performance.now() - killedMs;
}

/** Of the append-only file, while Redis runs; to be put back while it does not. */
async function copyRedisData({
  deployment,
}: RunningSessions): Promise<{ putBack(): Promise<void> }> {
  const [, folder] = configSchema.parse(await redis(deployment.redis.url, "CONFIG", "GET", "dir"));
  const [data, copy] = [join(folder, "appendonlydir"), join(deployment.folder, "older")];
  await cp(data, copy, { recursive: true });
  return {
    putBack: async () => {
      await rm(data, { recursive: true });
      await cp(copy, data, { recursive: true });
    },
  };
}

/** What a node or Envoy answers that cannot tell: stale, without keys, too busy to be in time. */
const isUnable = (what: string): boolean => what.startsWith("503");

const answered = (poller: Poller): string[] =>
  poller
    .kinds()
    .filter((what) => !isUnable(what))
    .sort();
