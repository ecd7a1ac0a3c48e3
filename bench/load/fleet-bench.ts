/** What the benchmarks with many revocations or many nodes have in common. */
import { parseArgs } from "node:util";

import { Closing } from "../../dev/demo/demo-deployment.js";
import { describeCommit, describeMachine, sekishoVersion } from "../report/environment.js";
import type { RecordedRun, Shares } from "../report/fleet-result.js";
import { AuthzBenchDeployment } from "./authz-bench-deployment.js";
import { workBetween, type RedisMeter } from "./redis-work.js";

export type SmallOrRecord =
  | { readonly kind: "wrong"; readonly message: string }
  | { readonly kind: "run"; readonly small: boolean; readonly record: boolean };

export function readSmallOrRecord(args: readonly string[]): SmallOrRecord {
  const options = { small: { type: "boolean" }, record: { type: "boolean" } } as const;
  try {
    const { small = false, record = false } = parseArgs({ args: [...args], options }).values;
    if (!small || !record) return { kind: "run", small, record };
    return { kind: "wrong", message: "--record does not go with --small: it is the full run" };
  } catch (error) {
    return { kind: "wrong", message: error instanceof Error ? error.message : String(error) };
  }
}

/** As it was when the run began; Redis is not started yet. */
export async function describeRunHere(): Promise<Omit<RecordedRun, "versions">> {
  return {
    recordedAt: new Date().toISOString(),
    commit: await describeCommit(),
    machine: describeMachine(),
  };
}

export async function versionsWith(redis: string): Promise<RecordedRun["versions"]> {
  return { sekisho: await sekishoVersion(), node: process.versions.node, redis };
}

/** A deployment of its own, of which nothing is left afterwards. */
export async function withDeployment<Result>(
  closing: Closing,
  use: (deployment: AuthzBenchDeployment, closing: Closing) => Promise<Result>,
  replicas = 0,
): Promise<Result> {
  const own = new Closing();
  await closing.keep(Promise.resolve(own), async (opened) => {
    const [fault] = await opened.close();
    if (fault !== undefined) throw new Error("a deployment was not closed", { cause: fault });
  });
  try {
    return await use(await AuthzBenchDeployment.open(own, undefined, replicas), own);
  } finally {
    await own.close();
  }
}

/** What is repeated in rounds: each case once per round, so that a busy moment meets all of them. */
export class Rounds<Case, Round> {
  readonly #of: readonly { readonly one: Case; readonly rounds: Round[] }[];

  constructor(cases: readonly Case[]) {
    this.#of = cases.map((one) => ({ one, rounds: [] }));
  }

  add(one: Case, round: Round): void {
    this.#of.find((known) => known.one === one)?.rounds.push(round);
  }

  get all(): (Case & { rounds: Round[] })[] {
    return this.#of.map(({ one, rounds }) => ({ ...one, rounds }));
  }
}

/** Processor time of a stretch. */
export class Stopwatch {
  readonly #meter: RedisMeter;
  readonly #before: Awaited<ReturnType<RedisMeter["read"]>>;
  readonly #cpu = process.cpuUsage();
  readonly #startedMs = performance.now();

  private constructor(meter: RedisMeter, before: Awaited<ReturnType<RedisMeter["read"]>>) {
    this.#meter = meter;
    this.#before = before;
  }

  static async start(meter: RedisMeter): Promise<Stopwatch> {
    return new Stopwatch(meter, await meter.read());
  }

  /** @param othersMs processor time of others, by their names in the result */
  async stop(othersMs: Readonly<Record<string, number>>) {
    const elapsedMs = performance.now() - this.#startedMs;
    const { user, system } = process.cpuUsage(this.#cpu);
    const redis = workBetween(this.#before, await this.#meter.read());
    const usedMs = { Redis: redis.allMs, publisher: (user + system) / 1000, ...othersMs };
    const shares: Shares = Object.fromEntries(
      Object.entries(usedMs).map(([name, ms]) => [name, (100 * ms) / elapsedMs]),
    );
    /** Redis, without the scripts that publish. */
    return { elapsedMs, shares, readingMs: redis.allMs - redis.scriptsMs };
  }
}
