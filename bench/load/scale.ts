/**
 * Fleets of light readers: a burst of revocations that all of them follow, and all of them starting
 * together on the log that it left. Both formats of the log's entries take turns.
 */
import type { Closing } from "../../dev/demo/demo-deployment.js";
import type { LogFormat } from "../../src/revocation-log/packed-entry.js";
import { redisVersion } from "../report/environment.js";
import type { FleetBurstRound, FleetStartRound, ScaleResult } from "../report/fleet-result.js";
import { scalePage, scaleTables } from "../report/fleet-table.js";
import type { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
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
import type { Progress } from "./progress.js";
import { ReaderFleet } from "./reader-fleet.js";
import { RedisMeter } from "./redis-work.js";

const LIMIT_MS = 600_000;
const FORMATS: readonly LogFormat[] = [1, 2];

interface Size {
  readonly readers: number;
  readonly entries: number;
  /** In how many rounds it is measured. */
  readonly rounds: number;
}

const FULL: readonly Size[] = [
  { readers: 1, entries: 10_000, rounds: 3 },
  { readers: 1, entries: 100_000, rounds: 3 },
  { readers: 10, entries: 10_000, rounds: 3 },
  { readers: 50, entries: 10_000, rounds: 2 },
  { readers: 100, entries: 2000, rounds: 3 },
  // As many as these share two cores: more at once, and one would wait for the others too long.
  { readers: 1000, entries: 10, rounds: 2 },
];

/** The readers' code is compiled before it is timed. */
const WARM_UP_MAX = 2000;
const SETTLED_MS = 500;

const SMALL: readonly Size[] = [{ readers: 5, entries: 1000, rounds: 1 }];

export const SCALE_USAGE = `usage: npm run bench -- scale [options]

A burst of revocations at 1 to 1,000 light readers, and all of them starting together.
  --small    a few readers and a small burst
  --record   replaces the recorded result`;

interface Case {
  readonly readers: number;
  readonly entries: number;
  readonly format: LogFormat;
}

/** Returns the exit code. */
export async function scale(given: readonly string[]): Promise<number> {
  const args = readSmallOrRecord(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${SCALE_USAGE}\n`);
    return 2;
  }
  const sizes = args.small ? SMALL : FULL;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(sizes, closing, progress),
    async (result) => {
      process.stdout.write(`\n${scaleTables(result)}\n`);
      const place = args.record ? ["bench", "results", "scale"] : ["dist", "bench-last-scale"];
      await writeResult(place, result, scalePage(result));
      return 0;
    },
  );
}

async function measure(
  sizes: readonly Size[],
  closing: Closing,
  progress: Progress,
): Promise<ScaleResult> {
  const here = await describeRunHere();
  // Redis too: it is started from here on.
  await closing.keep(Promise.resolve(runThisBeforeOthers()), (asBefore) => asBefore());
  const planned = sizes.flatMap(({ rounds, ...size }) =>
    FORMATS.map((format) => ({ rounds, one: { ...size, format } })),
  );
  const cases: readonly Case[] = planned.map(({ one }) => one);
  const roundsMax = Math.max(...sizes.map(({ rounds }) => rounds));
  const bursts = new Rounds<Case, FleetBurstRound>(cases);
  const starts = new Rounds<Case, FleetStartRound>(cases);
  let redis = "";
  for (let round = 1; round <= roundsMax; round += 1) {
    for (const { rounds, one } of planned) {
      if (round > rounds) continue;
      const { readers, entries, format } = one;
      const size = `${entries} entries of format ${format} to ${readers} readers`;
      const what = `round ${round} of ${rounds}, ${size}`;
      progress.doing(what);
      await withDeployment(closing, async (deployment, own) => {
        redis = await redisVersion(deployment.redisUrl);
        await deployment.writeFormat(format);
        const burst = await measureBurst(deployment, own, one);
        bursts.add(one, burst);
        const start = await measureStart(deployment, own, one);
        starts.add(one, start);
        const [burstMs, startMs] = [burst.lastMs, start.lastMs].map(Math.round);
        progress.done(`${what}: ${burstMs} ms; starting: ${startMs} ms`);
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

/** The readers follow an empty log, and the entries come. */
async function measureBurst(
  { redisUrl }: AuthzBenchDeployment,
  closing: Closing,
  one: Case,
): Promise<FleetBurstRound> {
  const fleet = await startFleet(closing, one);
  const meter = await closing.keep(RedisMeter.open(redisUrl), (opened) => opened.close());
  await fleet.follow(redisUrl, entriesMaxOf(one));
  const { entries, format } = one;
  const warmUp = Math.min(WARM_UP_MAX, entries);
  // The log was opened with its first entry.
  const warm = await fleet.watch(2, warmUp, { each: false });
  const lastSeq = await writeEntries(redisUrl, { entries: warmUp, format });
  await warm.applied;
  await pause(SETTLED_MS);
  const watching = await fleet.watch(lastSeq + 1, entries, { each: false });
  const stopwatch = await Stopwatch.start(meter);
  const begunMs = monotonicMs();
  await writeEntries(redisUrl, one);
  const writtenMs = monotonicMs() - begunMs;
  const { appliedAtMs, cpuMs, loop, stalenessMaxMs, disturbed } = await watching.applied;
  const { shares, readingMs } = await stopwatch.stop({ readers: cpuMs });
  fleet.close();
  const afterMs = appliedAtMs.flat().map((ms) => ms - begunMs);
  return {
    writtenMs,
    firstMs: Math.min(...afterMs),
    lastMs: Math.max(...afterMs),
    stalenessMaxMs,
    redisUsPerDelivery: (1000 * readingMs) / (entries * one.readers),
    loopP999Ms: loop.p999Ms,
    loopMaxMs: loop.maxMs,
    disturbed,
    shares,
  };
}

/** The readers start together, with the entries in the log. */
async function measureStart(
  { redisUrl }: AuthzBenchDeployment,
  closing: Closing,
  one: Case,
): Promise<FleetStartRound> {
  const fleet = await startFleet(closing, one);
  const meter = await closing.keep(RedisMeter.open(redisUrl), (opened) => opened.close());
  const stopwatch = await Stopwatch.start(meter);
  const { startedAtMs, freshAtMs, cpuMs } = await fleet.follow(redisUrl, entriesMaxOf(one));
  const { shares, readingMs } = await stopwatch.stop({ readers: cpuMs });
  fleet.close();
  const afterMs = freshAtMs.map((ms) => ms - startedAtMs);
  return {
    firstMs: Math.min(...afterMs),
    lastMs: Math.max(...afterMs),
    redisUsPerDelivery: (1000 * readingMs) / (one.entries * one.readers),
    shares,
  };
}

async function startFleet(closing: Closing, { readers }: Case): Promise<ReaderFleet> {
  return closing.keep(ReaderFleet.start(readers), (started) => started.close());
}

/** LocalState may take the memory at once. */
function entriesMaxOf({ entries }: Case): number {
  return 2 * (entries + WARM_UP_MAX);
}

async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
