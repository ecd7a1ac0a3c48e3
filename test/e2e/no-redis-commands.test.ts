/** A check never asks Redis: its command counters do not move with the number of checks. */
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { waitUntil } from "../../deploy/local/wait-for.js";
import { redisConnections, type RedisConnection } from "../../src/revocation/connection-redis.js";
import { endOf } from "../support/following.js";
import { reportMeasured } from "../support/e2e-report.js";
import { E2eStage, untilAnswered, type Pod } from "../support/e2e-stage.js";

const CHECKS = 2000;
/** Requests in flight at once. */
const LANES = 8;
/** The follower's beat: a read that ends after this long if nothing comes. */
const BEAT_MS = 250;
/** How often the follower writes its node's row: half its staleness limit. */
const ROW_MS = 500;
/** One beat may begin just before a period and one end just after it. */
const EDGE = 2;

let stage: E2eStage;
let pod: Pod;
let counters: RedisConnection;

beforeAll(async () => {
  stage = await E2eStage.open();
  pod = await stage.addPod("node-1");
  const opening = redisConnections(stage.redis.url)();
  counters = await stage.keep(opening, (connection) => connection.close());
});
afterAll(() => stage.close());

it(`sends no command to Redis for ${CHECKS} checks, known, new, refused and broken ones`, async () => {
  await stage.revoke(endOf("revoked"));
  const person = { tenant: "acme", user: "ann", session: "laptop" };
  const revoked = stage.token({ ...person, session: "revoked" });
  await untilAnswered(pod, "/things", { token: revoked }, "401 session_revoked");
  // Of four checks one has a token never seen before, one a known one, one a revoked one.
  const known = stage.token(person);
  const fresh = Array.from({ length: CHECKS / 4 }, (_, number) =>
    stage.token({ ...person, session: `new-${number}` }),
  );
  const asks = fresh.flatMap((token) => [token, known, revoked, "no.token.atall"]);
  const expected = ["200", "200", "401 session_revoked", "401 invalid_token"];

  const busy = await during(async () => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let index = next++; index < asks.length; index = next++) {
        const token = asks[index] ?? "";
        expect(await pod.client.seen("/things", { token })).toBe(expected[index % 4]);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  });
  const endMs = performance.now() + busy.tookMs;
  const quiet = await during(() =>
    waitUntil(() => performance.now() >= endMs, {
      what: "a quiet period of the same length",
      timeoutMs: 60_000,
    }),
  );

  const { tookMs } = busy;
  // Each beat is one TIME, one HMGET and one XREADGROUP; the row is one HSET.
  const most: Record<string, number> = {
    time: tookMs / BEAT_MS + EDGE,
    hmget: tookMs / BEAT_MS + EDGE,
    xreadgroup: tookMs / BEAT_MS + EDGE,
    hset: tookMs / ROW_MS + EDGE,
  };
  for (const period of [busy, quiet]) {
    expect(Object.keys(period.calls).filter((name) => !(name in most))).toEqual([]);
    expect(period.connections).toBe(0);
  }
  for (const [name, bound] of Object.entries(most)) {
    const [calls, quietCalls] = [busy.calls[name] ?? 0, quiet.calls[name] ?? 0];
    expect(calls).toBeLessThanOrEqual(bound);
    expect(calls).toBeLessThanOrEqual(quietCalls + EDGE);
  }
  // A beat goes on under load, or the comparison would prove nothing.
  expect(busy.calls["xreadgroup"]).toBeGreaterThan(0);
  reportMeasured(
    `${CHECKS} checks in ${Math.round(tookMs)} ms: ${total(busy.calls)} commands in Redis; ` +
      `quiet, as long: ${total(quiet.calls)}`,
  );
});

interface Period {
  readonly tookMs: number;
  /** Calls by command, without the INFO that this test sends itself. */
  readonly calls: Readonly<Record<string, number>>;
  readonly connections: number;
}

async function during(act: () => Promise<void>): Promise<Period> {
  const before = await readCounters();
  const startedMs = performance.now();
  await act();
  const tookMs = performance.now() - startedMs;
  const after = await readCounters();
  const calls = Object.entries(after.calls)
    .map(([name, count]) => [name, count - (before.calls[name] ?? 0)] as const)
    .filter(([name, count]) => count > 0 && name !== "info");
  const connections = after.connections - before.connections;
  return { tookMs, calls: Object.fromEntries(calls), connections };
}

async function readCounters(): Promise<{ calls: Record<string, number>; connections: number }> {
  const commands = await counters.client.info("commandstats");
  const stats = await counters.client.info("stats");
  const calls = [...commands.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(
    ([, name = "", count]) => [name, Number(count)] as const,
  );
  const connections = /^total_connections_received:(\d+)/m.exec(stats)?.[1];
  return { calls: Object.fromEntries(calls), connections: Number(connections) };
}

const total = (calls: Readonly<Record<string, number>>): number =>
  Object.values(calls).reduce((sum, count) => sum + count, 0);
