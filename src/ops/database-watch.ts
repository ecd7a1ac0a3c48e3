/** Looks at the database again and again, so that probes and metrics need not ask it themselves. */
import type { Database } from "../database/database.js";

const INTERVAL_MS = 1000;

export class DatabaseWatch {
  readonly #db: Pick<Database, "ping">;
  readonly #onChange: (problem: string | undefined) => void;
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  /** `onChange` is called once for each change; undefined: it answers again. */
  constructor(db: Pick<Database, "ping">, onChange: (problem: string | undefined) => void) {
    this.#db = db;
    this.#onChange = onChange;
  }

  /** In words; undefined: it answered last time. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#looking = this.#look();
  }

  /** Settles once no question is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const problem = await this.#db.ping().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const changed = (problem === undefined) !== (this.#problem === undefined);
    this.#problem = problem;
    if (this.#closed) return;
    if (changed) this.#onChange(problem);
    this.#timer = setTimeout(() => {
      this.#looking = this.#look();
    }, INTERVAL_MS);
  }
}
