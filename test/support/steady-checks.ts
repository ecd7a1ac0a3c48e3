/**
 * A steady load of checks on the gRPC port of a real sidecar, and how it fares beside an attack.
 *
 *   const checks = ChecksSender.start({ address: node.listen, tokens: [token] });
 *   const beside = await measureBeside({ checks, pid: node.pid, attack });
 *   expectUnharmed(beside);
 *   checks.close();
 *
 * Calm and attacked slices take turns, so that what else the machine does meanwhile meets both.
 */
import { expect } from "@jest/globals";
import type { ChecksSender, SentChecks } from "../../bench/load/checks-sender.js";
import { runBeforeOthers } from "../../bench/load/priority.js";
import { memoryOf } from "../../bench/load/process-usage.js";
import { percentileOf, spreadOf } from "../../bench/report/percentile.js";

const SLICE_MS = 1000;
/** Calm and attacked ones in each round: 1,200 checks of either kind. */
const SLICES = 4;
/** A round is repeated only where a calm slice shows that the machine was busy. */
const ROUNDS_MAX = 6;
/** Connects, and has the token verified and the code compiled. */
const WARM_UP_MS = 2000;

const ATTACKED_P99_MAX_MS = 20;
const ATTACKED_P99_MAX_RATIO = 3;
const RESIDENT_MAX_MB = 200;
/** A calm slice beyond this is an outlier: with an attack of no effect, the limits could be missed. */
const CALM_P99_MAX_MS = ATTACKED_P99_MAX_MS / ATTACKED_P99_MAX_RATIO;

export interface Attack {
  /** Settles when the attack is under way. The returned function ends it. */
  begin(): Promise<() => Promise<void> | void>;
}

export interface BesideAttack {
  readonly calmP99Ms: number;
  readonly attackedP99Ms: number;
  /** The most that the process ever was. */
  readonly peakMB: number;
  readonly failures: number;
  readonly firstFailure: string | undefined;
  readonly rounds: number;
}

/** Warms up, then measures until a round is within the limits or its calm slices had no outlier. */
export async function measureBeside(measured: {
  readonly checks: ChecksSender;
  /** Of the sidecar. */
  readonly pid: number | undefined;
  readonly attack: Attack;
}): Promise<BesideAttack> {
  runBeforeOthers(measured.pid);
  await measured.checks.send(WARM_UP_MS);
  for (let round = 1; ; round += 1) {
    const { calm, attacked } = await measureRound(measured.checks, measured.attack);
    const beside: BesideAttack = {
      calmP99Ms: p99Of(calm),
      attackedP99Ms: p99Of(attacked),
      peakMB: memoryOf(measured.pid)?.peakMB ?? Infinity,
      failures: [...calm, ...attacked].reduce((sum, { failures }) => sum + failures, 0),
      firstFailure: [...calm, ...attacked].find(({ failures }) => failures > 0)?.firstFailure,
      rounds: round,
    };
    if (round === ROUNDS_MAX || isUnharmed(beside) || !machineWasBusy(calm)) return beside;
  }
}

/** As one value, so that a failure shows all of it. */
export function expectUnharmed(beside: BesideAttack): void {
  expect({ ...beside, unharmed: isUnharmed(beside) }).toEqual({ ...beside, unharmed: true });
}

function isUnharmed({ calmP99Ms, attackedP99Ms, peakMB, failures }: BesideAttack): boolean {
  return (
    failures === 0 &&
    attackedP99Ms < ATTACKED_P99_MAX_MS &&
    attackedP99Ms <= ATTACKED_P99_MAX_RATIO * calmP99Ms &&
    peakMB < RESIDENT_MAX_MB
  );
}

async function measureRound(
  checks: ChecksSender,
  attack: Attack,
): Promise<{ readonly calm: readonly SentChecks[]; readonly attacked: readonly SentChecks[] }> {
  const [calm, attacked]: [SentChecks[], SentChecks[]] = [[], []];
  for (let slice = 0; slice < SLICES; slice += 1) {
    if (attacked.some(({ failures }) => failures > 0)) break;
    calm.push(await checks.send(SLICE_MS));
    const end = await attack.begin();
    try {
      attacked.push(await checks.send(SLICE_MS));
    } finally {
      await end();
    }
  }
  return { calm, attacked };
}

/** Infinity where nothing was answered. */
function p99Of(slices: readonly SentChecks[]): number {
  const all = Float64Array.from(slices.flatMap(({ latenciesMs }) => latenciesMs)).sort();
  return all.length === 0 ? Infinity : percentileOf(all, 99);
}

function machineWasBusy(calm: readonly SentChecks[]): boolean {
  if (calm.some(({ failures }) => failures > 0)) return true;
  const each = calm.map((slice) => p99Of([slice]));
  const { median, max } = spreadOf(each);
  return max > CALM_P99_MAX_MS || max > ATTACKED_P99_MAX_RATIO * median;
}
