/** A process of its own that sends checks at a steady rate to a sidecar's gRPC port. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { repositoryRoot } from "../../dev/repository.js";
import { runBeforeOthers } from "./priority.js";
import { checksReportSchema, type ChecksOrder } from "./steady-checks.js";

const RATE_PER_S = 300;

/** Checks that were allowed, in milliseconds from when each was due, and those that were not. */
export interface SentChecks {
  /** By check; empty if the stretch was broken off. */
  readonly answers: readonly {
    /** See monotonicMs. */
    readonly dueMs: number;
    /** undefined: not allowed. */
    readonly latencyMs: number | undefined;
  }[];
  readonly latenciesMs: readonly number[];
  readonly failures: number;
  readonly firstFailure: string | undefined;
}

interface Target {
  readonly address: string;
  readonly tokens: readonly string[];
}

export class ChecksSender {
  readonly #child: ChildProcess;
  readonly #target: Target;
  readonly #ended: Promise<never>;

  private constructor(child: ChildProcess, target: Target) {
    this.#child = child;
    this.#target = target;
    this.#ended = once(child, "exit").then(() => {
      throw new Error("the process that sends checks has ended");
    });
    this.#ended.catch(() => undefined);
  }

  /** @param target the gRPC port as SEKISHO_LISTEN has it, and tokens that are allowed there */
  static start(target: Target): ChecksSender {
    const program = join(repositoryRoot(), "dist", "bench", "load", "steady-checks.js");
    // Without the parent's own arguments for Node.
    const child = fork(program, { execArgv: [], serialization: "json" });
    runBeforeOthers(child.pid);
    return new ChecksSender(child, target);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Sends 300 checks/s for this long, or until it is over, one stretch at a time. Too many unanswered
   * count as failed.
   */
  async send(durationMs: number, over?: AbortSignal): Promise<SentChecks> {
    const count = Math.round((RATE_PER_S * durationMs) / 1000);
    const answered = new Promise((resolve) => this.#child.once("message", resolve));
    const { address, tokens } = this.#target;
    this.#order({ address, tokens: [...tokens], count, ratePerS: RATE_PER_S });
    const startedMs = performance.now();
    over?.addEventListener("abort", () => this.#order("stop"), { once: true });
    const report = checksReportSchema.parse(await Promise.race([answered, this.#ended]));
    if (report.kind === "done") {
      const { startMs, failures, firstFailure } = report;
      const answers = report.latenciesMs.map((latencyMs, index) => ({
        dueMs: startMs + (1000 * index) / RATE_PER_S,
        latencyMs: latencyMs ?? undefined,
      }));
      const latenciesMs = answers.flatMap(({ latencyMs }) => latencyMs ?? []);
      return { answers, latenciesMs, failures, firstFailure };
    }
    const due = Math.round((RATE_PER_S * (performance.now() - startedMs)) / 1000);
    const failures = Math.min(count, due);
    return { answers: [], latenciesMs: [], failures, firstFailure: report.message };
  }

  #order(order: ChecksOrder): void {
    this.#child.send(order);
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }
}
