/**
 * What the session service needs before it can answer: tables, keys. The database may be away at
 * startup, so each step is retried until it succeeds, and reports why it fails.
 */
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
  #timer: NodeJS.Timeout | undefined;
  #trying: Promise<void> = Promise.resolve();
  #closed = false;

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
    this.#trying = this.#try(0);
  }

  /** Resolves when no step is running any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#trying;
  }

  async #try(from: number): Promise<void> {
    let done = from;
    try {
      for (const { run } of this.#steps.slice(from)) {
        if (this.#closed) return;
        await run();
        done += 1;
        this.#done = done;
      }
    } catch (error) {
      this.#failed(done, error);
      return;
    }
    this.#problem = undefined;
    if (!this.#closed) this.#onDone();
  }

  #failed(done: number, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (this.#closed) return;
    if (problem !== this.#problem) this.#onProblem(this.#steps[done]?.name ?? "", problem);
    this.#problem = problem;
    this.#timer = setTimeout(() => {
      this.#trying = this.#try(done);
    }, RETRY_MS);
  }
}
