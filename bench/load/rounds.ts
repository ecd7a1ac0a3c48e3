/** Measures both sides in turn, and asserts what they answered. */
import type { AuthzNode } from "../../dev/authz-node.js";
import { percentilesOf } from "../report/percentile.js";
import type { BenchmarkResult, Round } from "../report/result.js";
import { milliseconds } from "../report/table.js";
import type { LoadPlan } from "./arguments.js";
import type { LoadGenerator } from "./load-generator.js";
import type { LoadOrder, LoadResult } from "./load-messages.js";
import type { Progress } from "./progress.js";
import {
  addCounts,
  boundOfPercentileMs,
  countsBetween,
  readSidecarCounts,
} from "./sidecar-counts.js";
import type { SidecarCounts } from "./sidecar-counts.js";
import type { Side, TwoSidedEnvoy } from "./two-sided-envoy.js";

export interface Measuring {
  readonly plan: LoadPlan;
  readonly envoy: TwoSidedEnvoy;
  readonly node: AuthzNode;
  readonly generator: LoadGenerator<LoadOrder>;
  readonly progress: Progress;
}

export type Measured = Pick<BenchmarkResult, "rounds" | "requests" | "sidecar">;

/** An answer was not what it had to be, or the sidecar was not asked as often as it should. */
export class WrongAnswer extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WrongAnswer";
  }
}

/** Runs all rounds; every other one begins with the other side. */
export async function measureRounds(measuring: Measuring): Promise<Measured> {
  const { plan, node } = measuring;
  const requests = { measured: 0, warmUp: 0, lateWithout: 0, lateWith: 0, latestMs: 0 };
  const rounds: Round[] = [];
  let checks: SidecarCounts | undefined;
  const before = await countsOf(node);
  for (let number = 1; number <= plan.rounds; number += 1) {
    const first: Side = number % 2 === 1 ? "without" : "with";
    const order: readonly Side[] = first === "without" ? ["without", "with"] : ["with", "without"];
    const sides = { without: NONE, with: NONE };
    for (const side of order) {
      const what = `round ${number} of ${plan.rounds}, ${side === "with" ? "with Sekisho" : "without"}`;
      const warmUp = await sendStretch(measuring, side, plan.warmUpS, `${what}, warm-up`);
      const beforeSide = await countsOf(node);
      const result = await sendStretch(measuring, side, plan.secondsPerSide, what);
      const during = countsBetween(beforeSide, await countsOf(node));
      if (side === "with") checks = checks === undefined ? during : addCounts(checks, during);
      requests.warmUp += warmUp.latenciesMs.length;
      requests.measured += result.latenciesMs.length;
      requests[side === "with" ? "lateWith" : "lateWithout"] += result.lateSends;
      requests.latestMs = Math.max(requests.latestMs, result.latestSendMs);
      sides[side] = percentilesOf(result.latenciesMs);
      const { p50, p95, p99 } = sides[side];
      const told = [p50, p95, p99].map(milliseconds).join(", ");
      measuring.progress.done(`${what}: p50, p95, p99 ${told} ms`);
    }
    rounds.push({ first, ...sides });
  }
  assertAllChecked(plan, countsBetween(before, await countsOf(node)).allowed);
  if (checks === undefined) throw new Error("no round was measured");
  return { rounds, requests, sidecar: describeChecks(checks) };
}

const NONE = { p50: NaN, p95: NaN, p99: NaN };

async function countsOf(node: AuthzNode): Promise<SidecarCounts> {
  return readSidecarCounts((await node.ops("/metrics")).body);
}

async function sendStretch(
  { plan, envoy, generator, progress }: Measuring,
  side: Side,
  seconds: number,
  what: string,
): Promise<LoadResult> {
  const count = seconds * plan.ratePerS;
  progress.doing(what);
  const order = { port: envoy.ports[side], count, ratePerS: plan.ratePerS };
  const result = await generator.run({ ...order, identified: side === "with" }, (sent) =>
    progress.doing(`${what}: ${sent} of ${count} requests`),
  );
  if (result.failures > 0) {
    const first = result.firstFailure ?? "";
    throw new WrongAnswer(`${what}: ${result.failures} of ${count} wrong; first, ${first}`);
  }
  return result;
}

/** Without this, a filter that was not in the path would look very quick. */
function assertAllChecked(plan: LoadPlan, allowed: number): void {
  const sent = plan.rounds * plan.ratePerS * (plan.warmUpS + plan.secondsPerSide);
  if (allowed === sent) return;
  throw new WrongAnswer(
    `${sent} requests went through the filter, and the sidecar allowed ${allowed}`,
  );
}

function describeChecks(checks: SidecarCounts): Measured["sidecar"] {
  const bound = (percent: number) => {
    const upToMs = boundOfPercentileMs(checks, percent);
    return Number.isFinite(upToMs) ? upToMs : null;
  };
  return {
    checks: checks.allowed,
    meanMs: checks.durationSumMs / checks.allowed,
    p50UpToMs: bound(50),
    p95UpToMs: bound(95),
    p99UpToMs: bound(99),
  };
}
