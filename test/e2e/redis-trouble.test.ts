/**
 * Redis killed, stopped or cut off while requests pass. Whatever happens to it, a node lets nobody
 * pass whom it cannot vouch for, refuses whom it knew, and comes back by itself.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { publish, endOf } from "../support/following.js";
import type { Poller } from "../support/e2e-poller.js";
import { formatMs, reportMeasured } from "../support/e2e-report.js";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";
import type { TcpProxy } from "../support/tcp-proxy.js";

/** The nodes' own limit, which no answer to a later request may exceed. */
const MAX_STALENESS_MS = 1000;

const STALE = "503 revocations_stale";
const REVOKED = "401 session_revoked";

let deployment: E2eDeployment;
let proxies: TcpProxy[];
let pods: Pod[];
const staleAfterMs: number[] = [];
const backAfterMs: number[] = [];

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  proxies = [await deployment.addRedisProxy(), await deployment.addRedisProxy()];
  pods = await Promise.all(
    proxies.map(({ url }, index) => deployment.addPod(`node-${index + 1}`, { redisUrl: url })),
  );
});
afterEach(() => deployment.stopPollers());
afterAll(async () => {
  await deployment.close();
  reportMeasured(
    `trouble to ${STALE}, at most ${formatMs(Math.max(...staleAfterMs))} ` +
      `(the limit: ${MAX_STALENESS_MS} ms); mended to passing, at most ` +
      formatMs(Math.max(...backAfterMs)),
  );
});

/** One pod under every kind of traffic, from before the fault to after the recovery. */
interface Watched {
  readonly pod: Pod;
  readonly good: Poller;
  /** Its session is revoked while the node cannot know. */
  readonly meanwhile: Poller;
  /** Its session was revoked before. */
  readonly revoked: Poller;
  readonly tolerant: Poller;
  readonly strict: Poller;
  readonly open: Poller;
  readonly anonymous: Poller;
}

async function watchAll(round: string): Promise<Watched[]> {
  const person = { tenant: "acme", user: "ann", session: "ann-laptop" };
  const good = { token: deployment.token(person) };
  const meanwhile = { token: deployment.token({ ...person, session: `meanwhile-${round}` }) };
  const revoked = { token: deployment.token({ ...person, session: `before-${round}` }) };
  await deployment.revoke(endOf(`before-${round}`));
  for (const pod of pods) await untilAnswered(pod, "/things", revoked, REVOKED);
  const watched = pods.map((pod) => {
    const poll = (what: string, path: string, ask = {}): Poller =>
      deployment.poll(`${pod.name}, ${what}`, pod.client, path, ask);
    return {
      pod,
      good: poll("good", "/things", good),
      meanwhile: poll("revoked meanwhile", "/things", meanwhile),
      revoked: poll("revoked before", "/things", revoked),
      tolerant: poll("tolerant", "/timetable", good),
      strict: poll("strict", "/payments", good),
      open: poll("public", "/public/news"),
      anonymous: poll("anonymous", "/catalogue"),
    };
  });
  for (const one of watched) {
    for (const poller of [one.good, one.meanwhile, one.tolerant, one.strict]) {
      await poller.until("200", -Infinity);
    }
  }
  return watched;
}

/** What each node answers from the fault on, until it is mended. */
async function expectStale(watched: readonly Watched[], faultMs: number): Promise<void> {
  const beyondMs = faultMs + MAX_STALENESS_MS;
  for (const { good, meanwhile, strict } of watched) {
    const stale = await good.until(STALE, faultMs);
    staleAfterMs.push(stale.atMs - faultMs);
    await meanwhile.until(STALE, beyondMs);
    await strict.until("503", beyondMs);
  }
  // A while in which nothing may change: twenty answers more from each.
  const sinceMs = Math.max(performance.now(), beyondMs);
  for (const one of watched) await untilAskedOften(one, sinceMs);
  for (const { pod, good, meanwhile, revoked, tolerant, strict } of watched) {
    expect(good.answered(beyondMs)).toEqual([STALE]);
    expect(meanwhile.answered(beyondMs)).toEqual([STALE]);
    expect(strict.kinds(beyondMs)).toEqual(["503"]);
    expect(tolerant.answered()).toEqual(["200"]);
    expect(revoked.answered()).toEqual([REVOKED]);
    await expectReason(pod, "/timetable", "allowed_stale");
    await expectReason(pod, "/things", "revocations_stale");
  }
}

async function untilAskedOften(one: Watched, sinceMs: number): Promise<void> {
  const wanted = { good: STALE, tolerant: "200", strict: "503", open: "200", anonymous: "200" };
  let afterMs = sinceMs;
  for (let times = 0; times < 20; times += 1) {
    afterMs = (await one.good.until(wanted.good, afterMs)).atMs;
  }
  await one.tolerant.until(wanted.tolerant, afterMs);
  await one.strict.until(wanted.strict, afterMs);
  await one.open.until(wanted.open, afterMs);
  await one.anonymous.until(wanted.anonymous, afterMs);
}

async function expectReason(pod: Pod, path: string, reason: string): Promise<void> {
  const person = { tenant: "acme", user: "ann", session: "ann-laptop" };
  const reply = await pod.client.get(path, { token: deployment.token(person), stale: true });
  const entry = await pod.envoy.accessLogOf(reply.headers["x-request-id"] ?? "");
  expect(entry["reason"]).toBe(reason);
}

/** Every node lets pass again by itself, and refuses what was revoked meanwhile and before. */
async function expectRecovered(watched: readonly Watched[], mendedMs: number): Promise<void> {
  for (const { good, strict } of watched) {
    const back = await good.until("200", mendedMs);
    backAfterMs.push(back.atMs - mendedMs);
    await strict.until("200", mendedMs);
  }
  for (const { meanwhile } of watched) await meanwhile.until(REVOKED, mendedMs);
  const settledMs = performance.now();
  for (const { good, meanwhile } of watched) {
    await good.until("200", settledMs);
    await meanwhile.until(REVOKED, settledMs);
  }
  for (const one of watched) {
    expect(new Set(one.good.answered())).toEqual(new Set(["200", STALE]));
    expect(new Set(one.strict.kinds())).toEqual(new Set(["200", "503"]));
    expect(one.revoked.answered()).toEqual([REVOKED]);
    expect(one.tolerant.answered()).toEqual(["200"]);
    expect(one.open.answered()).toEqual(["200"]);
    expect(one.anonymous.answered()).toEqual(["200"]);
  }
}

/** Revoked while the nodes could not know: never an allow after the limit, nor after recovery. */
function expectNeverAllowedAgain(watched: readonly Watched[], acknowledgedMs: number): void {
  for (const { meanwhile } of watched) {
    expect(meanwhile.kinds(acknowledgedMs + MAX_STALENESS_MS)).not.toContain("200");
  }
}

describe("Redis is killed under traffic", () => {
  it("makes every node stale within its limit, and all return when it is back with its data", async () => {
    const watched = await watchAll("killed");
    const ended = deployment.redis.kill();
    const faultMs = performance.now();
    await ended;
    await expectStale(watched, faultMs);
    const unpublished = await publish(deployment.redis.url, endOf("meanwhile-killed"));
    expect(unpublished).toMatchObject({ published: false, code: "unreachable" });

    await deployment.redis.restart();
    const mendedMs = performance.now();
    const acknowledgedMs = await deployment.revoke(endOf("meanwhile-killed"));
    await expectRecovered(watched, mendedMs);
    expectNeverAllowedAgain(watched, acknowledgedMs);
  });
});

describe("Redis is stopped under traffic, with its connections open", () => {
  it("makes every node stale within its limit, and all return when it goes on", async () => {
    const watched = await watchAll("stopped");
    deployment.redis.pause();
    const faultMs = performance.now();
    await expectStale(watched, faultMs);

    deployment.redis.resume();
    const mendedMs = performance.now();
    const acknowledgedMs = await deployment.revoke(endOf("meanwhile-stopped"));
    await expectRecovered(watched, mendedMs);
    expectNeverAllowedAgain(watched, acknowledgedMs);
  });
});

describe.each([
  { how: "its connections are cut", cut: (proxy: TcpProxy) => proxy.cutOff() },
  { how: "its network swallows everything", cut: (proxy: TcpProxy) => proxy.hang() },
])("Redis cannot be reached by the nodes: $how", ({ how, cut }) => {
  it("bounds a revocation that others publish, and refuses it after the recovery", async () => {
    const round = how.replaceAll(" ", "-");
    const watched = await watchAll(round);
    proxies.forEach(cut);
    const faultMs = performance.now();
    // Redis is well, so this is acknowledged, and the nodes cannot hear of it.
    const acknowledgedMs = await deployment.revoke(endOf(`meanwhile-${round}`));
    await expectStale(watched, faultMs);

    for (const proxy of proxies) {
      proxy.mend();
      proxy.cutConnections();
    }
    const mendedMs = performance.now();
    await expectRecovered(watched, mendedMs);
    expectNeverAllowedAgain(watched, acknowledgedMs);
    for (const { meanwhile } of watched) {
      expect(meanwhile.answered(faultMs).slice(-2)).toEqual([STALE, REVOKED]);
    }
  });
});

describe("one node is cut off and the other is not", () => {
  it("leaves the other one as it was", async () => {
    const watched = await watchAll("one-of-two");
    const [cutOff, other] = watched;
    if (cutOff === undefined || other === undefined) throw new Error("two nodes are needed");
    proxies[0]?.cutOff();
    const faultMs = performance.now();
    await expectStale([cutOff], faultMs);
    const stillCutOffMs = performance.now();
    await other.good.until("200", stillCutOffMs);
    await other.strict.until("200", stillCutOffMs);
    expect(other.good.decided()).toEqual(["200"]);
    proxies[0]?.mend();
    await cutOff.good.until("200", performance.now());
  });
});
