/**
 * The guarantee itself, under faults at random: once a revocation is acknowledged, no node allows a
 * request that is sent later than the staleness limit after it, whatever happens to Redis, to the
 * network or to the node.
 */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { endOf, publish } from "../support/following.js";
import { E2eStage, untilAnswered, type Pod } from "../support/e2e-stage.js";
import { expectGuarantee, faultCount, type Fault } from "../support/guarantee.js";
import type { TcpProxy } from "../support/tcp-proxy.js";

let stage: E2eStage;
let proxies: TcpProxy[];
let pods: Pod[];

beforeAll(async () => {
  stage = await E2eStage.open();
  proxies = [await stage.addRedisProxy(), await stage.addRedisProxy()];
  pods = await Promise.all(
    proxies.map(({ url }, index) => stage.addPod(`node-${index + 1}`, { redisUrl: url })),
  );
});
afterAll(() => stage.close());

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
    { name: "Redis paused", begin: () => stage.redis.pause(), end: () => stage.redis.resume() },
    {
      name: "Redis killed and back with its data",
      begin: async () => {
        await stage.redis.kill();
      },
      end: () => stage.redis.restart(),
    },
  ];
}

describe("the guarantee", () => {
  it("holds on a single Redis under faults at random", async () => {
    const kinds = faults();
    const tokens = await expectGuarantee({
      ...{ what: "single Redis", stage, pods, faults: faultCount(14, 60) },
      publish: async (session) => (await publish(stage.redis.url, endOf(session))).published,
      next: (random) => {
        const fault = kinds[random(kinds.length)];
        if (fault === undefined) throw new Error("no such fault");
        return fault;
      },
      lastsMs: (random) => 200 + random(1500),
      quietMs: (random) => random(600),
    });
    const live = { token: stage.token({ tenant: "acme", user: "ann", session: "chaos-alive" }) };
    for (const pod of pods) {
      await untilAnswered(pod, "/things", live, "200");
      for (const token of tokens) {
        expect(await pod.client.seen("/things", { token })).toBe("401 session_revoked");
      }
    }
  }, 300_000);
});
