/**
 * A burst of revocations at one node: how fast it applies them, how fresh it stays, and what becomes
 * of the checks meanwhile. Then a node that starts with all of them in the log.
 */
import { parseArgs } from "node:util";

import { AuthzNode } from "../../dev/authz-node.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { describeCommit, describeMachine, redisVersion } from "../report/environment.js";
import { percentileOf } from "../report/percentile.js";
import { markdownTable, milliseconds } from "../report/table.js";
import { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import { ChecksSender } from "./checks-sender.js";
import { runBeforeOthers } from "./priority.js";
import { memoryOf } from "./process-usage.js";
import type { Progress } from "./progress.js";

const LIMIT_MS = 300_000;
const SIZES = { full: [10_000, 100_000], small: [2000] } as const;
const RUNS = 3;
/** In one script: Redis stands still for about ten milliseconds. */
const AT_ONCE = 500;
const LOOK_MS = 20;
const APPLIED_WITHIN_MS = 60_000;
const TOKENS = 100;

export const BURST_USAGE = `usage: npm run bench -- burst [options]

A burst of revocations at one node under 300 checks/s, and a node that starts with all of them.
  --small    one small burst
  --record   replaces the recorded result`;

interface Burst {
  readonly entries: number;
  readonly entriesPerS: number;
  readonly appliedAfterMs: number;
  readonly stalenessMaxMs: number;
  readonly checks: number;
  readonly refused: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly eventLoopMaxMs: number;
}

interface Start {
  readonly entries: number;
  readonly readyAfterMs: number;
  readonly bytesPerEntry: number;
}

interface BurstResult {
  readonly recordedAt: string;
  readonly commit: string;
  readonly machine: ReturnType<typeof describeMachine>;
  readonly redis: string;
  readonly bursts: readonly Burst[];
  readonly starts: readonly Start[];
}

/** Returns the exit code. */
export async function burst(given: readonly string[]): Promise<number> {
  const options = { small: { type: "boolean" }, record: { type: "boolean" } } as const;
  let values;
  try {
    ({ values } = parseArgs({ args: [...given], options }));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : ""}\n\n${BURST_USAGE}\n`);
    return 2;
  }
  const small = values.small === true;
  const record = values.record === true && !small;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(small, closing, progress),
    async (result) => {
      process.stdout.write(`\n${tables(result)}\n`);
      const place = record ? ["bench", "results", "burst"] : ["dist", "bench-last-burst"];
      await writeResult(place, result, `# A burst of revocations\n\n${tables(result)}\n`);
      return 0;
    },
  );
}

async function measure(small: boolean, closing: Closing, progress: Progress): Promise<BurstResult> {
  const found = { commit: await describeCommit(), machine: describeMachine() };
  const bursts: Burst[] = [];
  const starts: Start[] = [];
  let redis = "";
  for (const entries of SIZES[small ? "small" : "full"]) {
    for (let run = 1; run <= (small ? 1 : RUNS); run += 1) {
      progress.doing(`a burst of ${entries}, run ${run}`);
      const deployment = await AuthzBenchDeployment.open(closing, undefined);
      redis = await redisVersion(deployment.redisUrl);
      const one = await measureBurst(deployment, closing, entries);
      bursts.push(one);
      progress.done(`${entries} entries, run ${run}: ${Math.round(one.entriesPerS)}/s`);
      starts.push(await measureStart(deployment, closing, entries));
    }
  }
  return { recordedAt: new Date().toISOString(), ...found, redis, bursts, starts };
}

async function measureBurst(
  deployment: AuthzBenchDeployment,
  closing: Closing,
  entries: number,
): Promise<Burst> {
  const { mint, redisUrl } = deployment;
  const settings = { SEKISHO_REVOCATIONS_MAX_ENTRIES: "2000000" };
  const options = { nodeId: "burst", redisUrl, mint, settings };
  const node = await closing.keep(AuthzNode.start(options), (one) => one.kill());
  runBeforeOthers(node.pid);
  await node.waitReady();
  const owner = { tenant: "calm", user: "ann", epoch: 0 };
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, (_, n) => mint.mint({ ...owner, session: `calm-${n}` })),
  );
  const sender = ChecksSender.start({ address: node.listen, tokens });
  await closing.keep(Promise.resolve(sender), (one) => one.close());
  await sender.send(2000);
  // prom-client forgets the largest delay of the event loop with each look.
  await gauges(node);
  let eventLoopMaxMs = 0;
  let stalenessMaxMs = 0;
  const over = new AbortController();
  const sent = sendUntil(sender, over.signal);
  const begunAt = performance.now();
  const lastSeq = await append(redisUrl, entries);
  const appendedAt = performance.now();
  for (;;) {
    const seen = await gauges(node);
    eventLoopMaxMs = Math.max(eventLoopMaxMs, seen.eventLoopMaxMs);
    stalenessMaxMs = Math.max(stalenessMaxMs, seen.stalenessMs);
    if (seen.seq >= lastSeq) break;
    if (performance.now() - appendedAt > APPLIED_WITHIN_MS) throw new Error("not applied in time");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  const appliedAfterMs = performance.now() - begunAt;
  over.abort();
  const { latenciesMs, failures } = await sent;
  const sorted = Float64Array.from(latenciesMs).sort();
  sender.close();
  await node.kill();
  return {
    entries,
    entriesPerS: (1000 * entries) / appliedAfterMs,
    appliedAfterMs,
    stalenessMaxMs,
    checks: latenciesMs.length + failures,
    refused: failures,
    p50Ms: percentileOf(sorted, 50),
    p99Ms: percentileOf(sorted, 99),
    eventLoopMaxMs,
  };
}

async function sendUntil(sender: ChecksSender, over: AbortSignal) {
  const latenciesMs: number[] = [];
  let failures = 0;
  do {
    const sent = await sender.send(250);
    latenciesMs.push(...sent.latenciesMs);
    failures += sent.failures;
  } while (!over.aborted);
  return { latenciesMs, failures };
}

async function measureStart(
  { mint, redisUrl }: AuthzBenchDeployment,
  closing: Closing,
  entries: number,
): Promise<Start> {
  const start = async (nodeId: string, url: string) => {
    const settings = { SEKISHO_REVOCATIONS_MAX_ENTRIES: "2000000" };
    const options = { nodeId, redisUrl: url, mint, settings };
    const begunAt = performance.now();
    const node = await closing.keep(AuthzNode.start(options), (one) => one.kill());
    await node.waitReady();
    const readyAfterMs = performance.now() - begunAt;
    const bytes = (memoryOf(node.pid)?.residentMB ?? NaN) * 1e6;
    await node.kill();
    return { readyAfterMs, bytes };
  };
  const empty = await AuthzBenchDeployment.open(closing, undefined);
  const before = await start("empty", empty.redisUrl);
  const full = await start("full", redisUrl);
  const bytesPerEntry = (full.bytes - before.bytes) / entries;
  return { entries, readyAfterMs: full.readyAfterMs - before.readyAfterMs, bytesPerEntry };
}

/** What the publish script writes, many at a time. Returns the last seq. */
async function append(redisUrl: string, entries: number): Promise<number> {
  const connection = await redisConnections({ url: redisUrl })();
  try {
    let seq = 0;
    for (let left = entries; left > 0; left -= AT_ONCE) {
      const { log, meta } = LOG_KEYS;
      const count = Math.min(left, AT_ONCE);
      seq = Number(await connection.client.eval(APPEND, 2, log, meta, count, Date.now()));
    }
    return seq;
  } finally {
    connection.close();
  }
}

/** KEYS: log, meta. ARGV: how many, now (ms). */
const APPEND = `
  local seq = tonumber(redis.call('HGET', KEYS[2], 'seq'))
  for i = 1, tonumber(ARGV[1]) do
    seq = seq + 1
    redis.call('XADD', KEYS[1], '*', 'v', '1', 'seq', seq, 'kind', 'session_revoked',
      'tenant', 'tenant-' .. seq % 100, 'user', 'user-' .. seq, 'session', 'b0a4c3f2-6d1e-4b7a-9c55-' .. seq,
      'at', ARGV[2], 'forget_at', ARGV[2] + 970000, 'event_id', '7f1c2d3e-4b5a-4968-8776-' .. seq,
      'reason', 'benchmark', 'actor', 'benchmark')
  end
  redis.call('HSET', KEYS[2], 'seq', seq)
  return seq`;

async function gauges(node: AuthzNode) {
  const { body } = await node.ops("/metrics");
  const valueOf = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, "mu").exec(body)?.[1] ?? NaN);
  return {
    seq: valueOf("sekisho_log_seq"),
    stalenessMs: 1000 * valueOf("sekisho_revocation_staleness_seconds"),
    eventLoopMaxMs: 1000 * valueOf("nodejs_eventloop_lag_max_seconds"),
  };
}

function tables({ bursts, starts, commit, machine, redis }: BurstResult): string {
  const right = (title: string) => ({ title, right: true });
  const burstRows = bursts.map((one) => [
    String(one.entries),
    String(Math.round(one.entriesPerS)),
    String(Math.round(one.appliedAfterMs)),
    String(Math.round(one.stalenessMaxMs)),
    `${((100 * one.refused) / one.checks).toFixed(1)} % of ${one.checks}`,
    milliseconds(one.p50Ms),
    milliseconds(one.p99Ms),
    milliseconds(one.eventLoopMaxMs),
  ]);
  const startRows = starts.map((one) => [
    String(one.entries),
    String(Math.round(one.readyAfterMs)),
    String(Math.round(one.bytesPerEntry)),
  ]);
  return [
    markdownTable(
      [
        ...["entries", "applied/s", "applied after ms", "staleness, most, ms"].map(right),
        ...["checks not allowed", "check p50 ms", "p99 ms", "event loop, most, ms"].map(right),
      ],
      burstRows,
    ),
    markdownTable(
      ["entries in the log", "ready later than with none, ms", "bytes each"].map(right),
      startRows,
    ),
    `Commit ${commit}; ${machine.cpu}, ${machine.cores} cores; Redis ${redis}.`,
  ].join("\n\n");
}
