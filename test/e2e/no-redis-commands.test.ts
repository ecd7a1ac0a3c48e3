/** A check never asks Redis: its command counters do not move with the number of checks. */
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import {
  redisConnections,
  type RedisConnection,
} from "../../src/revocation-log/connection-redis.js";
import { endOf } from "../support/following.js";
import { reportMeasured } from "../support/e2e-report.js";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";

const CHECKS = 2000;
/** Requests in flight at once. */
const LANES = 8;
/** The follower's beat: a read that ends after this long if nothing comes. */
const BEAT_MS = 250;
/** How often the follower writes its node's row: half its staleness limit. */
const ROW_MS = 500;
/** How often it removes the rows and groups of dead nodes. */
const CLEANING_MS = 60_000;
const ATTEMPTS = 5;
/** One beat may begin just before a period and one end just after it. */
const EDGE = 2;

let deployment: E2eDeployment;
let pod: Pod;
let counters: RedisConnection;
let startedMs: number;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  startedMs = performance.now();
  pod = await deployment.addPod("node-1");
  const opening = redisConnections({ url: deployment.redis.url })();
  counters = await deployment.keep(opening, (connection) => connection.close());
});
afterAll(() => deployment.close());

it(`sends no command to Redis for ${CHECKS} checks, known, new, refused and broken ones`, async () => {
  await deployment.revoke(endOf("revoked"));
  const person = { tenant: "acme", user: "ann", session: "laptop" };
  const revoked = deployment.token({ ...person, session: "revoked" });
  await untilAnswered(pod, "/things", { token: revoked }, "401 session_revoked");
  // Of four checks one has a token never seen before, one a known one, one a revoked one.
  const known = deployment.token(person);
  const fresh = Array.from({ length: CHECKS / 4 }, (_, number) =>
    deployment.token({ ...person, session: `new-${number}` }),
  );
  const asks = fresh.flatMap((token) => [token, known, revoked, "no.token.atall"]);
  const expected = ["200", "200", "401 session_revoked", "401 invalid_token"];

  const ask = async (): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let index = next++; index < asks.length; index = next++) {
        const token = asks[index] ?? "";
        expect(await pod.client.seen("/things", { token })).toBe(expected[index % 4]);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  };
  let busy = await during(ask);
  // A node that stood still connects anew and reads the log again; if the checks did it, they always do.
  for (let attempt = 2; busy.connections > 0 && attempt <= ATTEMPTS; attempt += 1) {
    busy = await during(ask);
  }

  const { tookMs, calls, connections } = busy;
  // Each beat is one TIME, one HMGET and one XREADGROUP; the row is one HSET.
  const most: Record<string, number> = {
    time: tookMs / BEAT_MS + EDGE,
    hmget: tookMs / BEAT_MS + EDGE,
    xreadgroup: tookMs / BEAT_MS + EDGE,
    hset: tookMs / ROW_MS + EDGE,
  };
  expect(connections).toBe(0);
  // Once a minute a node removes what dead ones have left behind.
  const others = Object.keys(calls).filter((name) => !(name in most));
  if (performance.now() - startedMs < CLEANING_MS) expect(others).toEqual([]);
  for (const name of others) expect(calls[name]).toBeLessThan(EDGE + tookMs / ROW_MS);
  for (const [name, bound] of Object.entries(most)) {
    expect([name, (calls[name] ?? 0) <= bound]).toEqual([name, true]);
  }
  // A beat goes on under load, or the numbers would prove nothing.
  expect(calls["xreadgroup"]).toBeGreaterThan(0);
  reportMeasured(`${CHECKS} checks in ${Math.round(tookMs)} ms: ${total(calls)} commands in Redis`);
});

interface Period {
  readonly tookMs: number;
  /** Calls by command, without the INFO that this test sends itself. */
  readonly calls: Readonly<Record<string, number>>;
  readonly connections: number;
}

async function during(act: () => Promise<void>): Promise<Period> {
  // The time includes that of reading the counters: they count then, too.
  const beganMs = performance.now();
  const before = await readCounters();
  await act();
  const after = await readCounters();
  const tookMs = performance.now() - beganMs;
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
