/**
 * A steady load of checks on the gRPC port of a real sidecar, and how it fares beside an attack.
 *
 *   const checks = SteadyChecks.start({ address: node.listen, tokens: [token] });
 *   const beside = await measureBeside({ checks, pid: node.pid, attack });
 *   expectUnharmed(beside);
 *   checks.close();
 *
 * Calm and attacked slices take turns, so that what else the machine does meanwhile meets both.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { expect } from "@jest/globals";
import { memoryOf } from "../../bench/load/process-usage.js";
import { checksReportSchema, type ChecksOrder } from "../../bench/load/steady-checks.js";
import { percentileOf, spreadOf } from "../../bench/report/percentile.js";
import { repositoryRoot } from "../../dev/repository.js";

const RATE_PER_S = 300;
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

/** Checks that were allowed, in milliseconds from when each was due, and those that were not. */
export interface SentChecks {
  readonly latenciesMs: readonly number[];
  readonly failures: number;
  readonly firstFailure: string | undefined;
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

export class SteadyChecks {
  readonly #child: ChildProcess;
  readonly #target: Pick<ChecksOrder, "address" | "tokens">;
  readonly #ended: Promise<never>;

  private constructor(child: ChildProcess, target: Pick<ChecksOrder, "address" | "tokens">) {
    this.#child = child;
    this.#target = target;
    this.#ended = once(child, "exit").then(() => {
      throw new Error("the process that sends checks has ended");
    });
    this.#ended.catch(() => undefined);
  }

  /** @param target the gRPC port as SEKISHO_LISTEN has it, and tokens that are allowed there */
  static start(target: {
    readonly address: string;
    readonly tokens: readonly string[];
  }): SteadyChecks {
    const program = join(repositoryRoot(), "dist", "bench", "load", "steady-checks.js");
    // Without jest's own arguments for Node.
    const child = fork(program, { execArgv: [], serialization: "json" });
    runBeforeOthers(child.pid);
    return new SteadyChecks(child, { ...target, tokens: [...target.tokens] });
  }

  /** Sends 300 checks/s for this long, one stretch at a time. Too many unanswered count as failed. */
  async send(durationMs: number): Promise<SentChecks> {
    const count = Math.round((RATE_PER_S * durationMs) / 1000);
    const answered = new Promise((resolve) => this.#child.once("message", resolve));
    const order: ChecksOrder = { ...this.#target, count, ratePerS: RATE_PER_S };
    this.#child.send(order);
    const report = checksReportSchema.parse(await Promise.race([answered, this.#ended]));
    if (report.kind === "done") return { firstFailure: undefined, ...report };
    return { latenciesMs: [], failures: count, firstFailure: report.message };
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Warms up, then measures until a round is within the limits or its calm slices had no outlier. */
export async function measureBeside(measured: {
  readonly checks: SteadyChecks;
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

/** What else runs on the machine must not be taken for the attack's effect. Only root may ask so. */
function runBeforeOthers(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_HIGHEST);
  } catch {
    // Then a busy machine shows in the calm slices.
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
  checks: SteadyChecks,
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
