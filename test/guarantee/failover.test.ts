/**
 * The guarantee on a master with two replicas that fails over again and again, also back to servers
 * that were masters before: with the master paused, cut off without a word, or in good order. Each
 * node finds the new master at a moment of its own, and reaches the old one until then.
 */
import { setTimeout as passing } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { E2eDeployment, type Pod } from "../support/e2e-deployment.js";
import { endOf, initLog, publish, redis } from "../support/following.js";
import { expectGuarantee, faultCount, type Fault, type Random } from "../support/guarantee.js";
import { follow } from "../support/replica-set.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** How long a node may go on reaching the old master. */
const FOUND_AFTER_MAX_MS = 3000;
const ARGS = ["--min-replicas-max-lag", "1", "--repl-diskless-sync-delay", "0"];
const MIN_REPLICAS = ["--min-replicas-to-write", "1"];

interface Member {
  readonly server: RedisServer;
  /** Through it the others replicate. */
  readonly link: TcpProxy;
}

let deployment: E2eDeployment;
let members: Member[];
let master: Member;
let nodeLinks: TcpProxy[];
let pods: Pod[];

beforeAll(async () => {
  deployment = await E2eDeployment.open({ withoutLog: true });
  members = await Promise.all(Array.from({ length: 3 }, addMember));
  const [first] = members;
  if (first === undefined) throw new Error("no Redis");
  master = first;
  await Promise.all(othersThan(first).map(({ server }) => replicate(server, first)));
  await initLog(first.server.url, { minReplicas: 1 });
  nodeLinks = await Promise.all(
    [1, 2].map(() => deployment.keep(TcpProxy.start(first.server.port), (link) => link.close())),
  );
  pods = await Promise.all(
    nodeLinks.map(({ url }, index) => deployment.addPod(`node-${index + 1}`, { redisUrl: url })),
  );
});
afterAll(async () => {
  for (const { server } of members) server.resume();
  await deployment.close();
});

async function addMember(): Promise<Member> {
  const starting = RedisServer.start({ args: [...ARGS, ...MIN_REPLICAS] });
  const server = await deployment.keep(starting, (one) => one.close());
  const link = await deployment.keep(TcpProxy.start(server.port), (one) => one.close());
  return { server, link };
}

const othersThan = (one: Member): readonly Member[] => members.filter((other) => other !== one);

const replicate = (replica: RedisServer, of: Member): Promise<void> =>
  follow(replica, { port: Number(new URL(of.link.url).port) });

/** The replica that has come furthest, as a failover chooses it. */
async function furthest(): Promise<Member> {
  const found = await Promise.all(
    othersThan(master).map(async (member) => {
      const info = String(await redis(member.server.url, "INFO", "replication"));
      return { member, offset: Number(/slave_repl_offset:(\d+)/.exec(info)?.[1] ?? 0) };
    }),
  );
  const [best] = found.sort((a, b) => b.offset - a.offset);
  if (best === undefined) throw new Error("no replica");
  return best.member;
}

const WAYS = ["paused", "cut off from its replicas", "asked to end"] as const;

function failover(random: Random): Fault {
  const way = WAYS[random(WAYS.length)] ?? "paused";
  const old = master;
  const finding: Promise<void>[] = [];
  return {
    name: `master ${way}`,
    begin: async () => {
      if (way === "paused") old.server.pause();
      if (way !== "asked to end") old.link.hang();
      const chosen = await furthest();
      await redis(chosen.server.url, "REPLICAOF", "NO", "ONE");
      const rest = othersThan(old).filter((member) => member !== chosen);
      await Promise.all(rest.map(({ server }) => replicate(server, chosen)));
      master = chosen;
      for (const link of nodeLinks) finding.push(find(link, chosen, random(FOUND_AFTER_MAX_MS)));
    },
    end: async () => {
      old.server.resume();
      await Promise.all(finding);
      // The one that watches the servers makes the old master a replica as soon as it sees it.
      old.link.mend();
      await replicate(old.server, master);
    },
  };
}

/** A node learns of the new master; its connection to the old one ends then. */
async function find(link: TcpProxy, chosen: Member, afterMs: number): Promise<void> {
  await passing(afterMs);
  link.leadTo(chosen.server.port);
  link.cutConnections();
}

describe("the guarantee", () => {
  it("holds while a master with two replicas fails over again and again", async () => {
    await expectGuarantee({
      what: "failovers",
      deployment,
      pods,
      faults: faultCount(6, 30),
      publish: (session) => publish(master.server.url, endOf(session)),
      next: failover,
      lastsMs: (random) => 500 + random(2500),
      quietMs: (random) => 300 + random(1200),
    });
  }, 300_000);
});
