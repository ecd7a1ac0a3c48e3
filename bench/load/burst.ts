/**
 * A burst of revocations at one node: how fast it applies them, how fresh it stays, and what becomes
 * of the checks meanwhile. Then a node that starts with all of them in the log. Both formats of the
 * log's entries take turns.
 */
import { AuthzNode } from "../../dev/authz-node.js";
import type { Closing } from "../../dev/demo/demo-deployment.js";
import type { LogFormat } from "../../src/revocation-log/packed-entry.js";
import { redisVersion } from "../report/environment.js";
import type { BurstResult, BurstRound, NodeStart } from "../report/fleet-result.js";
import { burstPage, burstTables } from "../report/fleet-table.js";
import { percentileOf } from "../report/percentile.js";
import { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import { ChecksSender } from "./checks-sender.js";
import {
  describeRunHere,
  readSmallOrRecord,
  Rounds,
  Stopwatch,
  versionsWith,
  withDeployment,
} from "./fleet-bench.js";
import { writeEntries } from "./many-entries.js";
import { monotonicMs } from "./monotonic.js";
import { runThisBeforeOthers } from "./priority.js";
import { memoryOf, processorSeconds } from "./process-usage.js";
import type { Progress } from "./progress.js";
import { RedisMeter } from "./redis-work.js";

const LIMIT_MS = 300_000;
const PLANS = {
  full: { sizes: [10_000, 100_000], rounds: 3, warmUpMs: 2000 },
  small: { sizes: [2000], rounds: 1, warmUpMs: 500 },
} as const;
const FORMATS: readonly LogFormat[] = [1, 2];
const LOOK_MS = 5;
const APPLIED_WITHIN_MS = 60_000;
/** Until the checks are under way; what was due before the burst is not counted. */
const SENDING_MS = 200;
/** The node makes its page anew after this. */
const PAGE_AGE_MS = 100;
/** prom-client's, which it counts with each delay of the event loop. */
const LOOP_RESOLUTION_MS = 10;
const TOKENS = 100;
const SETTINGS = { SEKISHO_REVOCATIONS_MAX_ENTRIES: "2000000" };

export const BURST_USAGE = `usage: npm run bench -- burst [options]

A burst of revocations at one node under 300 checks/s, and a node that starts with all of them.
  --small    one small burst
  --record   replaces the recorded result`;

interface Case {
  readonly entries: number;
  readonly format: LogFormat;
}

/** Returns the exit code. */
export async function burst(given: readonly string[]): Promise<number> {
  const args = readSmallOrRecord(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${BURST_USAGE}\n`);
    return 2;
  }
  const { small, record } = args;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(small, closing, progress),
    async (result) => {
      process.stdout.write(`\n${burstTables(result)}\n`);
      const place = record ? ["bench", "results", "burst"] : ["dist", "bench-last-burst"];
      await writeResult(place, result, burstPage(result));
      return 0;
    },
  );
}

async function measure(small: boolean, closing: Closing, progress: Progress): Promise<BurstResult> {
  const here = await describeRunHere();
  // Redis and the node too: they are started from here on.
  await closing.keep(Promise.resolve(runThisBeforeOthers()), (asBefore) => asBefore());
  const { sizes, rounds, warmUpMs } = PLANS[small ? "small" : "full"];
  const cases: readonly Case[] = sizes.flatMap((entries) =>
    FORMATS.map((format) => ({ entries, format })),
  );
  const bursts = new Rounds<Case, BurstRound>(cases);
  const starts = new Rounds<Case, NodeStart>(cases);
  let redis = "";
  for (let round = 1; round <= rounds; round += 1) {
    for (const one of cases) {
      const { entries, format } = one;
      const what = `round ${round} of ${rounds}, ${entries} entries of format ${format}`;
      progress.doing(what);
      await withDeployment(closing, async (deployment, own) => {
        redis = await redisVersion(deployment.redisUrl);
        await deployment.writeFormat(format);
        const measured = await measureBurst(deployment, own, { ...one, warmUpMs });
        bursts.add(one, measured);
        starts.add(one, await measureStart(deployment, own, entries));
        progress.done(`${what}: ${Math.round((1000 * entries) / measured.appliedMs)}/s`);
      });
    }
  }
  return {
    ...here,
    versions: await versionsWith(redis),
    bursts: bursts.all,
    starts: starts.all,
  };
}

async function measureBurst(
  deployment: AuthzBenchDeployment,
  closing: Closing,
  one: Case & { readonly warmUpMs: number },
): Promise<BurstRound> {
  const { mint, redisUrl } = deployment;
  const options = { nodeId: "burst", redisUrl, mint, settings: SETTINGS };
  const node = await closing.keep(AuthzNode.start(options), (started) => started.kill());
  await node.waitReady();
  const owner = { tenant: "calm", user: "ann", epoch: 0 };
  const tokens = await Promise.all(
    Array.from({ length: TOKENS }, (_, n) => mint.mint({ ...owner, session: `calm-${n}` })),
  );
  const sender = ChecksSender.start({ address: node.listen, tokens });
  await closing.keep(Promise.resolve(sender), (started) => started.close());
  const meter = await closing.keep(RedisMeter.open(redisUrl), (opened) => opened.close());
  await sender.send(one.warmUpMs);
  // prom-client forgets the largest delay of the event loop with each look.
  await gauges(node);
  const usedMs = () => ({
    node: 1000 * (processorSeconds(node.pid) ?? NaN),
    checks: 1000 * (processorSeconds(sender.pid) ?? NaN),
  });
  const before = usedMs();
  const stopwatch = await Stopwatch.start(meter);
  const over = new AbortController();
  const sent = sender.send(APPLIED_WITHIN_MS, over.signal);
  const watched = watchGauges(node, over.signal);
  await new Promise((resolve) => setTimeout(resolve, SENDING_MS));
  const begunMs = monotonicMs();
  const lastSeq = await writeEntries(redisUrl, one);
  const writtenMs = monotonicMs() - begunMs;
  await untilApplied(deployment, lastSeq);
  const appliedMs = monotonicMs() - begunMs;
  over.abort();
  const after = usedMs();
  const { shares } = await stopwatch.stop({
    node: after.node - before.node,
    checks: after.checks - before.checks,
  });
  const { answers, firstFailure } = await sent;
  const checks = answers.filter(({ dueMs }) => dueMs >= begunMs);
  const allowed = checks.flatMap(({ latencyMs }) => latencyMs ?? []);
  if (allowed.length === 0) throw new Error(`no check was allowed: ${firstFailure ?? "none sent"}`);
  const sorted = Float64Array.from(allowed).sort();
  sender.close();
  const seen = await watched;
  await node.kill();
  return {
    writtenMs,
    appliedMs,
    ...seen,
    checks: checks.length,
    notAllowed: checks.length - allowed.length,
    p50Ms: percentileOf(sorted, 50),
    p99Ms: percentileOf(sorted, 99),
    shares,
  };
}

async function untilApplied(deployment: AuthzBenchDeployment, lastSeq: number): Promise<void> {
  const givenUpMs = performance.now() + APPLIED_WITHIN_MS;
  while (!(await deployment.appliedSeqs()).some((seq) => seq >= lastSeq)) {
    if (performance.now() > givenUpMs) throw new Error("not applied in time");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** The most that the node says of itself until it is over, and once more afterwards. */
async function watchGauges(node: AuthzNode, over: AbortSignal) {
  let eventLoopMaxMs = 0;
  let stalenessMaxMs = 0;
  for (let last = false; !last;) {
    last = over.aborted;
    const seen = await gauges(node);
    eventLoopMaxMs = Math.max(eventLoopMaxMs, seen.eventLoopMaxMs);
    stalenessMaxMs = Math.max(stalenessMaxMs, seen.stalenessMs);
    await new Promise((resolve) => setTimeout(resolve, PAGE_AGE_MS));
  }
  return { eventLoopMaxMs, stalenessMaxMs };
}

async function gauges(node: AuthzNode) {
  const { body } = await node.ops("/metrics");
  const valueOf = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, "mu").exec(body)?.[1] ?? NaN);
  return {
    stalenessMs: 1000 * valueOf("sekisho_revocation_staleness_seconds"),
    eventLoopMaxMs: 1000 * valueOf("nodejs_eventloop_lag_max_seconds") - LOOP_RESOLUTION_MS,
  };
}

async function measureStart(
  { mint, redisUrl }: AuthzBenchDeployment,
  closing: Closing,
  entries: number,
): Promise<NodeStart> {
  const start = async (nodeId: string, url: string) => {
    const options = { nodeId, redisUrl: url, mint, settings: SETTINGS };
    const begunMs = performance.now();
    const node = await closing.keep(AuthzNode.start(options), (one) => one.kill());
    await node.waitReady();
    const readyMs = performance.now() - begunMs;
    const bytes = (memoryOf(node.pid)?.residentMB ?? NaN) * 1e6;
    await node.kill();
    return { readyMs, bytes };
  };
  const empty = await AuthzBenchDeployment.open(closing, undefined);
  const before = await start("empty", empty.redisUrl);
  const full = await start("full", redisUrl);
  return {
    readyMs: full.readyMs - before.readyMs,
    bytesPerEntry: (full.bytes - before.bytes) / entries,
  };
}
