/**
 * The guarantee under Sentinels and in a Redis Cluster: the same faults at random as on a single
 * Redis, and among them failovers of every kind and slots that move. The nodes and the publishers find
 * the log's server by themselves.
 */
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { ReceiptCollector } from "../../src/revocation-log/receipt.js";
import { systemClock } from "../../src/runtime/clock.js";
import { ClusterSet } from "../support/cluster-set.js";
import { E2eDeployment, type Pod } from "../support/e2e-deployment.js";
import { endOf, publish, redis } from "../support/following.js";
import { expectGuarantee, faultCount, type Fault, type Random } from "../support/guarantee.js";
import { SentinelSet } from "../support/sentinel-set.js";
import type { RedisServer } from "../../dev/redis-server.js";

type Topology = SentinelSet | ClusterSet;

/** A fault of the server that has the log when the fault begins. */
function ofMaster(
  topology: Topology,
  name: string,
  begin: (master: RedisServer) => unknown,
  end: (master: RedisServer) => unknown = () => undefined,
): Fault {
  let master: RedisServer | undefined;
  return {
    name,
    begin: async () => {
      master = await topology.master();
      await begin(master);
    },
    end: async () => {
      if (master === undefined) return;
      await end(master);
      await topology.rejoin(master);
    },
  };
}

function faultsOf(topology: Topology, pods: readonly Pod[]): readonly Fault[] {
  const clients = (one: RedisServer, ...args: string[]) => redis(one.url, "CLIENT", ...args);
  return [
    ...pods.map(({ name, authz }): Fault => {
      return { name: `${name} paused`, begin: () => authz.pause(), end: () => authz.resume() };
    }),
    ofMaster(topology, "connections cut", (one) => clients(one, "KILL", "TYPE", "normal")),
    ofMaster(topology, "clients hanging", (one) => clients(one, "PAUSE", "900", "ALL")),
    ofMaster(
      topology,
      "master paused",
      (one) => one.pause(),
      (one) => one.resume(),
    ),
    ofMaster(
      topology,
      "master killed and back with its data",
      (one) => one.kill(),
      (one) => one.restart(),
    ),
    ofMaster(topology, "failover in good order", () => topology.failover()),
    ...(topology instanceof ClusterSet
      ? [ofMaster(topology, "slot moved", () => topology.moveSlot())]
      : []),
  ];
}

describe.each([
  { kind: "under Sentinels", start: () => SentinelSet.start() },
  { kind: "in a Redis Cluster", start: () => ClusterSet.start() },
])("the guarantee $kind", ({ kind, start }) => {
  let topology: Topology;
  let deployment: E2eDeployment;
  let pods: Pod[];
  let rows: RedisNodeRows;

  beforeAll(async () => {
    topology = await start();
    rows = new RedisNodeRows(redisConnections({ url: topology.url }), LOG_KEYS);
    deployment = await E2eDeployment.open({ servers: { url: topology.url, minReplicas: 1 } });
    pods = await deployment.addPods("node-1", "node-2");
  }, 120_000);
  afterAll(async () => {
    rows.close();
    await deployment.close();
    await topology.close();
  });

  it("holds under faults at random, failovers among them", async () => {
    const kinds = faultsOf(topology, pods);
    await expectGuarantee({
      what: kind,
      deployment,
      pods,
      faults: faultCount(6, 40),
      publish: (session) => publish(topology.url, endOf(session)),
      receipts: new ReceiptCollector(rows, systemClock),
      next: (random) => kinds[random(kinds.length)] ?? failWithout(),
      lastsMs: (random: Random) => 200 + random(2000),
      quietMs: (random: Random) => random(600),
    });
  }, 600_000);
});

function failWithout(): never {
  throw new Error("no such fault");
}
