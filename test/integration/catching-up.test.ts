/** A node that reads as fast as it can and is never at the end of the log. */
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { follow, initLog, KEYS, MAX_STALENESS_MS, type Following } from "../support/following.js";
import { ReplicaSet } from "../support/replica-set.js";
import { TcpProxy } from "../support/tcp-proxy.js";

/** Enough for every read to be as long as it may be. */
const AHEAD_MIN = 500;
const AT_ONCE = 200;
/** Several reads' worth. */
const BEHIND = 2000;
const BURST_MS = 3 * MAX_STALENESS_MS;

/** KEYS: log, meta. ARGV: how many, now (ms). */
const APPEND = `
  local seq = tonumber(redis.call('HGET', KEYS[2], 'seq'))
  for i = 1, tonumber(ARGV[1]) do
    seq = seq + 1
    redis.call('XADD', KEYS[1], '*', 'v', '1', 'seq', seq, 'kind', 'session_revoked', 'tenant', 'acme',
      'session', 's-' .. seq, 'at', ARGV[2], 'forget_at', ARGV[2] + 970000)
  end
  redis.call('HSET', KEYS[2], 'seq', seq)
  return seq`;

let following: Following | undefined;
let close: () => Promise<void>;
beforeEach(() => {
  following = undefined;
});
afterEach(async () => {
  await following?.follower.close();
  await close();
});

/** Keeps the log ahead of the node for longer than it may be stale; gives the greatest staleness seen. */
async function stalenessInBurst(url: string, { follower }: Following): Promise<number> {
  const connection = await redisConnections({ url })();
  try {
    let [seq, worstMs] = [0, 0];
    const endMs = performance.now() + BURST_MS;
    while (performance.now() < endMs) {
      const ahead = seq - (follower.status().seq ?? 0);
      if (ahead < AHEAD_MIN) {
        seq = Number(
          await connection.client.eval(APPEND, 2, KEYS.log, KEYS.meta, AT_ONCE, Date.now()),
        );
      } else {
        await connection.client.ping();
      }
      worstMs = Math.max(worstMs, follower.stalenessMs());
    }
    expect(seq).toBeGreaterThan(4 * AHEAD_MIN);
    return worstMs;
  } finally {
    connection.close();
  }
}

test("it stays fresh as of what it has caught up with", async () => {
  const server = await RedisServer.start();
  close = () => server.close();
  await initLog(server.url);
  following = follow(server.url, { maxEntries: 500_000 });
  await following.untilFresh();
  expect(await stalenessInBurst(server.url, following)).toBeLessThan(BURST_MS / 2);
  expect(following.resyncs).toEqual(["start"]);
});

test("it is not fresh by what it had joined before its connection was lost", async () => {
  const server = await RedisServer.start();
  const proxy = await TcpProxy.start(server.port);
  close = async () => {
    await proxy.close();
    await server.close();
  };
  await initLog(server.url);
  const tooFresh: number[] = [];
  let cutAtMs = Infinity;
  const { follower, untilFresh } = (following = follow(proxy.url, {
    maxEntries: 500_000,
    observer: {
      applied: ({ seq = 0 }) => {
        const { provenAt } = follower.freshness;
        if (seq < BEHIND && provenAt !== undefined && provenAt.monotonicMs > cutAtMs) {
          tooFresh.push(seq);
        }
      },
      resync: () => undefined,
      continued: () => undefined,
      problem: () => undefined,
      unprotectedFailover: () => undefined,
    },
  }));
  await untilFresh();
  proxy.cutOff();
  await following.until("the cut", () => follower.status().problem?.code === "unreachable");
  const connection = await redisConnections({ url: server.url })();
  await connection.client.eval(APPEND, 2, KEYS.log, KEYS.meta, BEHIND, Date.now());
  connection.close();
  cutAtMs = performance.now();
  proxy.mend();
  await following.until("all entries", () => (follower.status().seq ?? 0) > BEHIND);
  await untilFresh();
  expect(tooFresh).toEqual([]);
});

test("it stays so while a quorum of replicas confirms what it applied, and proves nothing without", async () => {
  const set = await ReplicaSet.start(1);
  close = () => set.close();
  const { url } = set.master;
  await initLog(url, { minReplicas: 1 });
  following = follow(url, { maxEntries: 500_000 });
  await following.untilFresh();
  expect(await stalenessInBurst(url, following)).toBeLessThan(BURST_MS / 2);
  set.link.cutOff();
  expect(await stalenessInBurst(url, following)).toBeGreaterThan(BURST_MS / 2);
});
