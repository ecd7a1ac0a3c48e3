/**
 * Deletes what has expired. The audit trail is never touched.
 *
 * - refresh tokens: when they have expired. Until then a used one is kept, to detect its reuse.
 * - sessions: a day after they have expired, if no refresh token of them is left. An access token
 *   may outlive its session; until it expires, the session must still exist to be revoked: by id,
 *   and together with all others when a password is changed.
 * - counted failures: when they no longer count.
 * - revocations: after 35 days, if they are published. A log never needs more than its horizon,
 *   which is much shorter.
 *
 * Transactions are small, and each run has a bounded number of them; the next run continues.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Queries } from "../database/queries-sql.js";
import { PeriodicTask } from "../../runtime/periodic-task.js";
import type { Schedule } from "../../runtime/schedule.js";
import type { LockoutSettings } from "./lockout.js";
import {
  purgeLoginFailures,
  purgeRefreshTokens,
  purgeRevocations,
  purgeSessions,
} from "./purge-sql.js";

export interface PurgeObserver {
  /** How many rows one run deleted, by table. */
  onPurged(rows: PurgedRows): void;
  /** A run failed; the next one is scheduled as usual. */
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
  /** From 0 to less than 1, for jitter: instances started together should not purge together. */
  readonly random: () => number;
  readonly observer: PurgeObserver;
  readonly lockout: Pick<LockoutSettings, "windowMs">;
  readonly schedule?: Schedule;
  /** Rows per transaction; 500 by default. */
  readonly batchRows?: number;
}

/** Between two runs, ±10 %. */
const INTERVAL_MS = 60_000;
const BATCH_ROWS = 500;
/** Per table and run: 600,000 rows an hour. */
const BATCHES_MAX = 20;
/** Longer than the largest SEKISHO_MAX_TOKEN_LIFETIME_S and the clock skew. */
const SESSIONS_KEPT_MS = 25 * 3_600_000;
const REVOCATIONS_KEPT_MS = 35 * 86_400_000;

/** Runs periodically, never concurrently. */
export class Purger {
  readonly #options: PurgerOptions;
  readonly #task: PeriodicTask;

  constructor(options: PurgerOptions) {
    this.#options = options;
    this.#task = new PeriodicTask(() => this.#run(), options.schedule);
  }

  start(): void {
    void this.#task.start(this.#nextDelayMs());
  }

  /** Settles once the running transaction, if any, has ended. */
  close(): Promise<void> {
    return this.#task.close();
  }

  #nextDelayMs(): number {
    return Math.round(INTERVAL_MS * (0.9 + 0.2 * this.#options.random()));
  }

  async #run(): Promise<number> {
    const { observer } = this.#options;
    try {
      observer.onPurged(await this.#purge());
    } catch (error) {
      observer.onPurgeFailed(error);
    }
    return this.#nextDelayMs();
  }

  async #purge(): Promise<PurgedRows> {
    const nowMs = this.#options.clock.wallMs();
    const { windowMs } = this.#options.lockout;
    const expired = { expiredMs: nowMs };
    const over = { expiredMs: nowMs - SESSIONS_KEPT_MS };
    const published = { decidedMs: nowMs - REVOCATIONS_KEPT_MS };
    const failures = { lastFailedMs: nowMs - windowMs - 1, lockedUntilMs: nowMs };
    return {
      refreshTokens: await this.#inBatches((queries, max) =>
        purgeRefreshTokens(queries, expired, max),
      ),
      sessions: await this.#inBatches((queries, max) => purgeSessions(queries, over, max)),
      loginFailures: await this.#inBatches((queries, max) =>
        purgeLoginFailures(queries, failures, max),
      ),
      revocations: await this.#inBatches((queries, max) =>
        purgeRevocations(queries, published, max),
      ),
    };
  }

  async #inBatches(batch: (queries: Queries, max: number) => Promise<number>): Promise<number> {
    const { db, batchRows = BATCH_ROWS } = this.#options;
    let count = 0;
    for (let turn = 0; turn < BATCHES_MAX && !this.#task.closed; turn += 1) {
      const deleted = await db.transaction({ role: "purge" }, (queries) =>
        batch(queries, batchRows),
      );
      count += deleted;
      if (deleted < batchRows) break;
    }
    return count;
  }
}
