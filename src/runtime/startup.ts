/**
 * What the session service needs before it can answer: tables, keys. The database may be away at
 * startup, so each step is retried until it succeeds, and reports why it fails.
 */
import { PeriodicTask } from "./periodic-task.js";

const RETRY_MS = 500;

export interface StartupStep {
  /** For the log. */
  readonly name: string;
  readonly run: () => Promise<void>;
}

export class Startup {
  readonly #steps: readonly StartupStep[];
  readonly #onProblem: (step: string, problem: string) => void;
  readonly #onDone: () => void;
  #problem: string | undefined;
  #done = 0;
  readonly #task = new PeriodicTask(() => this.#try());

  /** `onProblem` is called once for each new problem. */
  constructor(
    steps: readonly StartupStep[],
    onProblem: (step: string, problem: string) => void,
    onDone: () => void,
  ) {
    this.#steps = steps;
    this.#onProblem = onProblem;
    this.#onDone = onDone;
  }

  /** Why it is not done; undefined: nothing has failed so far. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** How many steps are done. */
  get done(): number {
    return this.#done;
  }

  start(): void {
    void this.#task.start();
  }

  /** Resolves when no step is running any more. */
  close(): Promise<void> {
    return this.#task.close();
  }

  async #try(): Promise<number | undefined> {
    try {
      for (const { run } of this.#steps.slice(this.#done)) {
        if (this.#task.closed) return undefined;
        await run();
        this.#done += 1;
      }
    } catch (error) {
      this.#failed(error);
      return RETRY_MS;
    }
    this.#problem = undefined;
    if (!this.#task.closed) this.#onDone();
    return undefined;
  }

  #failed(error: unknown): void {
    if (this.#task.closed) return;
    const problem = error instanceof Error ? error.message : String(error);
    if (problem !== this.#problem) this.#onProblem(this.#steps[this.#done]?.name ?? "", problem);
    this.#problem = problem;
  }
}
