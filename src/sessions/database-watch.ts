/**
 * Polls the database, so that probes and metrics need not ask it themselves: does it answer, and
 * does its clock agree with ours? Instances stamp revocations with their own clocks, and restoring
 * a lost log relies on those stamps, so a wrong clock must be reported before it matters.
 */
import { momentOf, type Clock } from "../runtime/clock.js";
import { clockOffsetMs, describeClockOffset } from "../runtime/clock-offset.js";
import { PeriodicTask } from "../runtime/periodic-task.js";
import type { Database } from "./database/database.js";

const INTERVAL_MS = 1000;

export interface DatabaseWatchOptions {
  readonly db: Pick<Database, "ping">;
  readonly clock: Clock;
  /** The largest clock difference that is allowed. */
  readonly skewMs: number;
  readonly observer: DatabaseWatchObserver;
}

/** Called once per change with a description of the problem; undefined: it has passed. */
export interface DatabaseWatchObserver {
  readonly database: (problem: string | undefined) => void;
  readonly clock: (problem: string | undefined) => void;
}

export class DatabaseWatch {
  readonly #options: DatabaseWatchOptions;
  #problem: string | undefined;
  #clockAheadMs: number | undefined;
  #clockProblem: string | undefined;
  readonly #task = new PeriodicTask(() => this.#look());

  constructor(options: DatabaseWatchOptions) {
    this.#options = options;
  }

  /** Why the last ping failed; undefined: it was answered. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** How the clocks differed when the database last answered; undefined: they agreed. */
  get clockProblem(): string | undefined {
    return this.#clockProblem;
  }

  /**
   * By how much this machine's clock was ahead of the database's, at least, at the last answer;
   * undefined: there was none yet.
   */
  get clockAheadMs(): number | undefined {
    return this.#clockAheadMs;
  }

  start(): void {
    void this.#task.start();
  }

  /** Settles once no ping is in flight. */
  close(): Promise<void> {
    return this.#task.close();
  }

  async #look(): Promise<number> {
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
    if (changed && !this.#task.closed) observer.database(problem);
    return INTERVAL_MS;
  }

  #compare(offsetMs: number): void {
    const { skewMs, observer } = this.#options;
    this.#clockAheadMs = 0 - offsetMs;
    const agree = Math.abs(offsetMs) <= skewMs;
    const problem = agree
      ? undefined
      : `${describeClockOffset("the database", offsetMs, skewMs)}, or raise SEKISHO_CLOCK_SKEW_S everywhere`;
    const changed = (problem === undefined) !== (this.#clockProblem === undefined);
    this.#clockProblem = problem;
    if (changed && !this.#task.closed) observer.clock(problem);
  }
}
