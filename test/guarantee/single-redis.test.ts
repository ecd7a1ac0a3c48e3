/**
 * The guarantee itself, under faults at random: once a revocation is acknowledged, no node allows a
 * request that is sent later than the staleness limit after it, whatever happens to Redis, to the
 * network or to the node.
 */
import { afterAll, beforeAll, describe, it } from "@jest/globals";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { ReceiptCollector } from "../../src/revocation-log/receipt.js";
import { systemClock } from "../../src/runtime/clock.js";
import { endOf, publish } from "../support/following.js";
import { E2eDeployment, type Pod } from "../support/e2e-deployment.js";
import { expectGuarantee, faultCount, type Fault } from "../support/guarantee.js";
import type { TcpProxy } from "../support/tcp-proxy.js";

let deployment: E2eDeployment;
let rows: RedisNodeRows;
let proxies: TcpProxy[];
let pods: Pod[];

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  rows = new RedisNodeRows(redisConnections({ url: deployment.redis.url }), LOG_KEYS);
  proxies = [await deployment.addRedisProxy(), await deployment.addRedisProxy()];
  pods = await Promise.all(
    proxies.map(({ url }, index) => deployment.addPod(`node-${index + 1}`, { redisUrl: url })),
  );
});
afterAll(async () => {
  rows.close();
  await deployment.close();
});

function faults(): readonly Fault[] {
  const proxyFaults = proxies.flatMap((proxy, index): Fault[] => {
    const link = `the link of node-${index + 1}`;
    const end = (): void => proxy.mend();
    const cutAndRepair = (): void => {
      proxy.cutConnections();
      proxy.mend();
    };
    return [
      { name: `${link} cut`, begin: () => proxy.cutOff(), end },
      { name: `${link} hanging`, begin: () => proxy.hang(), end },
      { name: `${link} losing replies`, begin: () => proxy.swallowReplies(), end: cutAndRepair },
    ];
  });
  const nodeFaults = pods.map(({ name, authz }): Fault => {
    return { name: `${name} paused`, begin: () => authz.pause(), end: () => authz.resume() };
  });
  return [
    ...proxyFaults,
    ...nodeFaults,
    {
      name: "Redis paused",
      begin: () => deployment.redis.pause(),
      end: () => deployment.redis.resume(),
    },
    {
      name: "Redis killed and back with its data",
      begin: async () => {
        await deployment.redis.kill();
      },
      end: () => deployment.redis.restart(),
    },
  ];
}

describe("the guarantee", () => {
  it("holds on a single Redis under faults at random", async () => {
    const kinds = faults();
    await expectGuarantee({
      what: "single Redis",
      deployment,
      pods,
      faults: faultCount(14, 60),
      receipts: new ReceiptCollector(rows, systemClock),
      publish: (session) => publish(deployment.redis.url, endOf(session)),
      next: (random) => {
        const fault = kinds[random(kinds.length)];
        if (fault === undefined) throw new Error("no such fault");
        return fault;
      },
      lastsMs: (random) => 200 + random(1500),
      quietMs: (random) => random(600),
    });
  }, 300_000);
});
