/**
 * A session service and its nodes on a Redis whose master changes: three Sentinels with a master and
 * two replicas, and a Redis Cluster of three masters with two replicas each. Sessions are revoked
 * without pause while another server becomes the log's; no node lets a revoked one pass past the
 * limit, and everything works again by itself.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "@jest/globals";
import { z } from "zod";
import type { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { ClusterSet } from "../support/cluster-set.js";
import type { Poller } from "../support/e2e-poller.js";
import { formatByNode, formatMs, reportMeasured } from "../support/e2e-report.js";
import { untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { redis } from "../support/following.js";
import { untilReplaced } from "../support/redis-topology.js";
import { SentinelSet } from "../support/sentinel-set.js";
import { RunningSessions, type LoggedIn } from "../support/sessions-deployment.js";

const PATH = "/things";
/** SEKISHO_MAX_STALENESS_MS, as it is by default. */
const STALENESS_MS = 1000;
const REVOKED = "401 session_revoked";
/** How often each node is asked for a token before it is revoked. */
const ASKED = 15;
/** How many revocations there are before and after the change. */
const BEFORE = 3;
const AFTER = 6;
/** At most; a revocation that waits for another master takes as long as several. */
const VICTIMS = 30;
const SLOW_MS = 120_000;
const BOUNDS = { timeoutMs: 60_000, everyMs: 20 };

type Topology = SentinelSet | ClusterSet;

interface Change {
  readonly name: string;
  /** Another server has the log when it returns. */
  readonly change: (topology: Topology) => Promise<void>;
}

async function kill(topology: Topology): Promise<void> {
  const old = await topology.master();
  await old.kill();
  await untilReplaced(topology, old);
  await old.restart();
  await topology.rejoin(old);
}

const CHANGES: readonly Change[] = [
  { name: "a failover in good order", change: (topology) => topology.failover() },
  { name: "the master killed", change: kill },
];
const MOVED: Change = {
  name: "the slot moved to another master",
  change: async (topology) => {
    if (topology instanceof ClusterSet) await topology.moveSlot();
  },
};

describe.each([
  { kind: "Sentinel", start: () => SentinelSet.start(), changes: CHANGES },
  { kind: "Cluster", start: () => ClusterSet.start(), changes: [...CHANGES, MOVED] },
])("on $kind", ({ kind, start, changes }) => {
  let topology: Topology;
  let running: RunningSessions;
  let pods: Pod[];

  beforeAll(async () => {
    topology = await start();
    const settings = { SEKISHO_REDIS_URL: topology.url, SEKISHO_REDIS_MIN_REPLICAS: "1" };
    running = await RunningSessions.open({ name: "PGlite" }, settings);
    await running.addTenant("acme");
    pods = await Promise.all(
      ["node-1", "node-2"].map((name) => running.addPod(name, { settings })),
    );
  }, SLOW_MS);
  afterEach(() => running.deployment.stopPollers());
  afterAll(async () => {
    await running.close();
    await topology.close();
  });

  const revoke = ({ tenant, user, sessionId: session }: LoggedIn, waitMs = 0) =>
    running.client.revokeSession(running.operatorToken, { tenant, user, session }, waitMs);

  const pollers = ({ accessToken: token }: LoggedIn): Poller[] =>
    pods.map(({ name, client }) => running.deployment.poll(name, client, PATH, { token }));

  it("revokes on every node, lists the nodes, and counts attempts to log in in Redis", async () => {
    const ann = await running.enter("acme", "ann");
    for (const pod of pods) await untilAnswered(pod, PATH, { token: ann.accessToken }, "200");
    expect(await revoke(ann, 2000)).toMatchObject({ published: true, confirmed: true, nodes: 2 });
    for (const pod of pods) {
      expect(await pod.client.seen(PATH, { token: ann.accessToken })).toBe(REVOKED);
    }
    expect(await nodesListed(topology.url, running)).toEqual(["node-1", "node-2"]);
    expect(await limitsCounted(topology.servers)).toBeGreaterThan(0);
  });

  it.each(changes)(
    "$name: lets no revoked token pass past the limit, and works again by itself",
    async ({ name, change }) => {
      const good = await running.enter("acme", `good-${name}`);
      const victims = await running.enterMany("acme", name, VICTIMS);
      const live = pollers(good);
      await Promise.all(live.map((poller) => poller.until("200", -Infinity)));
      const before = await topology.master();

      const over = new AbortController();
      const revoked: Revoked[] = [];
      const revoking = revokeInTurn(victims, over.signal, revoked);
      const untilRevoked = (count: number): Promise<void> =>
        waitUntil(() => revoked.length >= count, { what: `${count} revocations`, ...BOUNDS });
      await untilRevoked(BEFORE);
      const changedMs = performance.now();
      await change(topology);
      const after = await topology.master();
      expect(after.port).not.toBe(before.port);
      const replacedMs = performance.now();
      await Promise.all(live.map((poller) => poller.until("200", replacedMs)));
      await untilRevoked(Math.min(revoked.length + AFTER, VICTIMS));
      over.abort();
      await revoking;

      const last = performance.now() + STALENESS_MS;
      await Promise.all(live.map((poller) => poller.until("200", last)));
      await running.deployment.stopPollers();
      for (const one of revoked) {
        for (const poller of one.pollers) {
          expect(poller.kinds(one.acknowledgedMs + STALENESS_MS)).not.toContain("200");
        }
      }
      expect(
        revoked.some((one) => one.pollers.some((poller) => poller.kinds().includes("200"))),
      ).toBe(true);
      for (const pod of pods) {
        for (const { token } of revoked) {
          await untilAnswered(pod, PATH, { token }, REVOKED);
        }
      }
      reportMeasured(
        `${kind}, ${name}: ${revoked.length} revocations, 0 allowed past the limit; ` +
          `503 for ${formatByNode(new Map(live.map((one) => [one.name, refusedMs(one, changedMs)])))}; ` +
          `the slowest publication took ${formatMs(Math.max(...revoked.map((one) => one.tookMs)))}`,
      );
    },
    SLOW_MS,
  );

  interface Revoked {
    readonly token: string;
    readonly pollers: readonly Poller[];
    readonly acknowledgedMs: number;
    readonly tookMs: number;
  }

  /** One after the other; each is asked for everywhere from before its revocation until the end. */
  async function revokeInTurn(
    victims: readonly LoggedIn[],
    over: AbortSignal,
    revoked: Revoked[],
  ): Promise<void> {
    for (const victim of victims) {
      if (over.aborted) return;
      const asking = pollers(victim);
      const asked = () => asking.every(({ seen }) => seen.length >= ASKED);
      await waitUntil(asked, { what: "answers for the next token", ...BOUNDS });
      const sinceMs = performance.now();
      // Not published at once, it is as soon as there is a master, which a later answer says.
      const published = async () => (await revoke(victim)).published;
      await waitUntil(published, { what: "a publication", ...BOUNDS });
      const acknowledgedMs = performance.now();
      const token = victim.accessToken;
      revoked.push({ token, pollers: asking, acknowledgedMs, tookMs: acknowledgedMs - sinceMs });
    }
  }
});

/** From the first refusal of a live token to the last one. */
function refusedMs({ seen }: Poller, sinceMs: number): number {
  const refused = seen.filter(({ what, sentAtMs }) => what !== "200" && sentAtMs > sinceMs);
  const [first, last] = [refused[0], refused.at(-1)];
  return first === undefined || last === undefined ? 0 : last.atMs - first.sentAtMs;
}

const namesSchema = z.object({ nodes: z.array(z.object({ node: z.string() })) });

/** As `sekisho nodes` reads them from Redis. */
async function nodesListed(url: string, { deployment }: RunningSessions): Promise<string[]> {
  const { exit, said } = await deployment.sekishoOn(url, "nodes", "--json");
  expect({ exit, said }).toMatchObject({ exit: { code: 0 } });
  return namesSchema
    .parse(JSON.parse(said))
    .nodes.map(({ node }) => node)
    .sort();
}

/** How many keys of limits the servers hold. */
async function limitsCounted(servers: readonly RedisServer[]): Promise<number> {
  const keys = await Promise.all(servers.map(({ url }) => redis(url, "KEYS", "sekisho:limits:*")));
  return keys.flat().length;
}
