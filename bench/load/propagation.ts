/**
 * How long after a revocation is acknowledged its token is refused: by real nodes, and by fleets of
 * light readers under steady traffic of revocations. What it costs Redis is measured with it.
 */
import type { Closing } from "../../dev/demo/demo-deployment.js";
import { redisVersion } from "../report/environment.js";
import {
  distributionOf,
  type Fleet,
  type PropagationResult,
  type Traffic,
  type TrafficRound,
} from "../report/fleet-result.js";
import { propagationPage, propagationTables } from "../report/fleet-table.js";
import type { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { runBenchmark, writeResult } from "./benchmark-run.js";
import {
  describeRunHere,
  readSmallOrRecord,
  Stopwatch,
  versionsWith,
  withDeployment,
} from "./fleet-bench.js";
import { monotonicMs } from "./monotonic.js";
import { runThisBeforeOthers } from "./priority.js";
import type { Progress } from "./progress.js";
import { ReaderFleet } from "./reader-fleet.js";
import { RedisMeter } from "./redis-work.js";
import { measureRefusals, type RefusalPlan } from "./refusals.js";

const LIMIT_MS = 300_000;

interface FleetPlan {
  readonly readers: number;
  readonly replicas?: number;
  readonly traffic: readonly { readonly everyMs: number; readonly revocations: number }[];
}

interface Plan {
  readonly rounds: number;
  readonly nodes: readonly RefusalPlan[];
  readonly fleets: readonly FleetPlan[];
  readonly quietMs: number;
  readonly receipts: number;
}

const QUICK = { everyMs: 20, revocations: 100 };
const SLOW = { everyMs: 1000, revocations: 3 };

const FULL: Plan = {
  rounds: 3,
  nodes: [
    { nodes: 1, everyMs: 50, revocations: 60 },
    { nodes: 10, everyMs: 50, revocations: 60 },
  ],
  fleets: [
    { readers: 1, traffic: [QUICK, SLOW] },
    { readers: 10, traffic: [QUICK, SLOW] },
    { readers: 50, traffic: [QUICK, SLOW] },
    { readers: 50, replicas: 1, traffic: [QUICK] },
    { readers: 100, traffic: [QUICK, SLOW] },
    // 50 revocations/s to each of them are more than the processes of the readers can take in.
    { readers: 1000, traffic: [SLOW] },
  ],
  quietMs: 2000,
  receipts: 5,
};

const SMALL: Plan = {
  rounds: 1,
  nodes: [{ nodes: 1, everyMs: 50, revocations: 10 }],
  fleets: [{ readers: 5, traffic: [{ everyMs: 20, revocations: 20 }] }],
  quietMs: 500,
  receipts: 2,
};

/** That each reader can hold: more than a run publishes. */
const ENTRIES_MAX = 2000;
/** Until each reader's code is compiled, not counted. */
const WARM_UP = { everyMs: 20, revocations: 20 };
const US_PER_S = 1e6;
const RECEIPT_WAIT_MS = 5000;
const RECEIPT_EVERY_MS = 500;

export const PROPAGATION_USAGE = `usage: npm run bench -- propagation [options]

Time from a revocation to its refusal at 1 and 10 nodes, and at 1 to 1,000 light readers.
  --small    one node and a few readers, for a moment
  --record   replaces the recorded result`;

/** Returns the exit code: 1 if a receipt of real nodes was not complete. */
export async function propagation(given: readonly string[]): Promise<number> {
  const args = readSmallOrRecord(given);
  if (args.kind === "wrong") {
    process.stderr.write(`${args.message}\n\n${PROPAGATION_USAGE}\n`);
    return 2;
  }
  const plan = args.small ? SMALL : FULL;
  return runBenchmark(
    LIMIT_MS,
    (closing, progress) => measure(plan, closing, progress),
    async (result) => {
      process.stdout.write(`\n${propagationTables(result)}\n`);
      const place = ["dist", "bench-last-propagation"];
      const recorded = ["bench", "results", "propagation"];
      await writeResult(args.record ? recorded : place, result, propagationPage(result));
      const complete = result.nodes.every(({ revocations, rounds }) =>
        rounds.every(({ completeReceipts }) => completeReceipts === revocations),
      );
      return complete ? 0 : 1;
    },
  );
}

async function measure(
  plan: Plan,
  closing: Closing,
  progress: Progress,
): Promise<PropagationResult> {
  const here = await describeRunHere();
  // Redis and the nodes too: they are started from here on.
  await closing.keep(Promise.resolve(runThisBeforeOthers()), (asBefore) => asBefore());
  const nodes: PropagationResult["nodes"] = [];
  const fleets: Fleet[] = [];
  let redis = "";
  for (const one of plan.nodes) {
    const what = `${one.nodes} nodes`;
    progress.doing(what);
    const rounds = await withDeployment(closing, async (deployment, own) => {
      redis = await redisVersion(deployment.redisUrl);
      return measureRefusals(deployment, own, one, plan.rounds);
    });
    progress.done(what);
    nodes.push({ ...one, rounds });
  }
  for (const one of plan.fleets) {
    const { readers, replicas = 0 } = one;
    const what = replicas === 0 ? `${readers} readers` : `${readers} readers, ${replicas} replica`;
    progress.doing(what);
    fleets.push(
      await withDeployment(
        closing,
        (deployment, own) => measureFleet(deployment, own, plan, one),
        replicas,
      ),
    );
    progress.done(what);
  }
  return { ...here, versions: await versionsWith(redis), nodes, fleets };
}

async function measureFleet(
  deployment: AuthzBenchDeployment,
  closing: Closing,
  plan: Plan,
  { readers, replicas = 0, traffic }: FleetPlan,
): Promise<Fleet> {
  const { redisUrl } = deployment;
  const fleet = await closing.keep(ReaderFleet.start(readers), (started) => started.close());
  const meter = await closing.keep(RedisMeter.open(redisUrl), (opened) => opened.close());
  const idle = await measureQuiet(meter, plan.quietMs);
  await fleet.follow(redisUrl, ENTRIES_MAX);
  const revoker = new SteadyRevoker(deployment);
  const measuring = { fleet, revoker, meter, idle };
  await measureTraffic(measuring, WARM_UP);
  const quiet = await measureQuiet(meter, plan.quietMs);
  const measured: Traffic[] = [];
  for (const one of traffic) {
    const rounds: TrafficRound[] = [];
    for (let round = 1; round <= plan.rounds; round += 1) {
      rounds.push(await measureTraffic(measuring, one));
    }
    measured.push({ ...one, rounds });
  }
  return {
    readers,
    replicas,
    processes: fleet.processes,
    idleUsPerS: idle * US_PER_S,
    quietUsPerReader: ((quiet - idle) * US_PER_S) / readers,
    traffic: measured,
    receipts: await requestReceipts(deployment, revoker, readers, plan.receipts),
  };
}

/** Revokes one session after the other, at a steady rate. */
class SteadyRevoker {
  readonly #deployment: AuthzBenchDeployment;
  #revoked = 0;

  constructor(deployment: AuthzBenchDeployment) {
    this.#deployment = deployment;
  }

  /** Of the entry that is published next: the log was opened with its first. */
  get nextSeq(): number {
    return this.#revoked + 2;
  }

  /** Publishes, and tells when it was requested and when acknowledged. */
  async revoke() {
    this.#revoked += 1;
    const session = `session-${this.#revoked}`;
    const requestedMs = monotonicMs();
    const entry = await this.#deployment.revoke({
      kind: "session_revoked",
      tenant: "bench",
      user: undefined,
      session,
    });
    return { requestedMs, acknowledgedMs: monotonicMs(), entry };
  }
}

/** The share of a core, 1 being all of it, that Redis takes while nothing is published. */
async function measureQuiet(meter: RedisMeter, quietMs: number): Promise<number> {
  const stopwatch = await Stopwatch.start(meter);
  await pause(quietMs);
  const { readingMs, elapsedMs } = await stopwatch.stop({});
  return readingMs / elapsedMs;
}

interface Measuring {
  readonly fleet: ReaderFleet;
  readonly revoker: SteadyRevoker;
  readonly meter: RedisMeter;
  /** Of a core, before any reader was connected. */
  readonly idle: number;
}

async function measureTraffic(
  { fleet, revoker, meter, idle }: Measuring,
  { everyMs, revocations }: { readonly everyMs: number; readonly revocations: number },
): Promise<TrafficRound> {
  const watching = await fleet.watch(revoker.nextSeq, revocations, { each: true });
  const stopwatch = await Stopwatch.start(meter);
  const startMs = performance.now();
  const published = [];
  for (let count = 0; count < revocations; count += 1) {
    published.push(await revoker.revoke());
    await pause(startMs + (count + 1) * everyMs - performance.now());
  }
  const { appliedAtMs, cpuMs, disturbed } = await watching.applied;
  const { shares, readingMs, elapsedMs } = await stopwatch.stop({ readers: cpuMs });
  const any: number[] = [];
  const last: number[] = [];
  const lastAcknowledged: number[] = [];
  for (const [entry, { requestedMs, acknowledgedMs }] of published.entries()) {
    const moments = appliedAtMs[entry] ?? [];
    const lastMs = Math.max(...moments);
    any.push(...moments.map((ms) => ms - requestedMs));
    last.push(lastMs - requestedMs);
    lastAcknowledged.push(Math.max(0, lastMs - acknowledgedMs));
  }
  return {
    any: distributionOf(any),
    last: distributionOf(last),
    lastAcknowledged: distributionOf(lastAcknowledged),
    redisUsPerDelivery: (1000 * (readingMs - idle * elapsedMs)) / (revocations * fleet.readers),
    disturbed,
    shares,
  };
}

async function requestReceipts(
  deployment: AuthzBenchDeployment,
  revoker: SteadyRevoker,
  readers: number,
  requested: number,
): Promise<Fleet["receipts"]> {
  const afterMs: number[] = [];
  let complete = 0;
  for (let count = 0; count < requested; count += 1) {
    const { entry } = await revoker.revoke();
    const startedMs = performance.now();
    const { applied, pending, silent } = await deployment.receiptOf(entry, RECEIPT_WAIT_MS);
    afterMs.push(performance.now() - startedMs);
    if (pending.length + silent.length === 0 && applied.length === readers) complete += 1;
    await pause(RECEIPT_EVERY_MS);
  }
  return { requested, complete, afterMs: distributionOf(afterMs) };
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
}
