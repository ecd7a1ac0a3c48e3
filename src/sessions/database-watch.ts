/**
 * Looks at the database again and again, so that probes and metrics need not ask it themselves: does
 * it answer, and is its clock as ours? Instances stamp revocations by their own clocks, and what is
 * put back into a lost log goes by those stamps, so a clock that is off has to be told before.
 */
import { momentOf, type Clock } from "../runtime/clock.js";
import { clockOffsetMs, describeClockOffset } from "../runtime/clock-offset.js";
import type { Database } from "./database/database.js";

const INTERVAL_MS = 1000;

export interface DatabaseWatchOptions {
  readonly db: Pick<Database, "ping">;
  readonly clock: Clock;
  /** The largest difference of the clocks that is allowed. */
  readonly skewMs: number;
  readonly observer: DatabaseWatchObserver;
}

/** Called once for each change, in words; undefined: well again. */
export interface DatabaseWatchObserver {
  readonly database: (problem: string | undefined) => void;
  readonly clock: (problem: string | undefined) => void;
}

export class DatabaseWatch {
  readonly #options: DatabaseWatchOptions;
  #problem: string | undefined;
  #clockAheadMs: number | undefined;
  #clockProblem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: DatabaseWatchOptions) {
    this.#options = options;
  }

  /** In words; undefined: it answered last time. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** In words; undefined: the clocks agreed when the database last answered. */
  get clockProblem(): string | undefined {
    return this.#clockProblem;
  }

  /**
   * By how much this machine's clock was ahead of the database's, at least, when that last answered;
   * undefined: it never did.
   */
  get clockAheadMs(): number | undefined {
    return this.#clockAheadMs;
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
    const { db, clock, observer } = this.#options;
    const sentAt = momentOf(clock);
    const problem = await db.ping().then(
      (serverMs) => {
        this.#compare(clockOffsetMs({ serverMs, sentAt, receivedAt: momentOf(clock) }));
        return undefined;
      },
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    const changed = (problem === undefined) !== (this.#problem === undefined);
    this.#problem = problem;
    if (this.#closed) return;
    if (changed) observer.database(problem);
    this.#timer = setTimeout(() => {
      this.#looking = this.#look();
    }, INTERVAL_MS);
  }

  #compare(offsetMs: number): void {
    const { skewMs, observer } = this.#options;
    this.#clockAheadMs = 0 - offsetMs;
    const agree = Math.abs(offsetMs) <= skewMs;
    const problem = agree ? undefined : describeClockOffset("the database", offsetMs, skewMs);
    const changed = (problem === undefined) !== (this.#clockProblem === undefined);
    this.#clockProblem = problem;
    if (changed && !this.#closed) observer.clock(problem);
  }
}
