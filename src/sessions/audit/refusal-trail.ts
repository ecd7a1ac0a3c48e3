/**
 * Audit rows for refused acts of a known user: known by the access token, or by the refresh token,
 * even an expired one. There is no row for a token that is missing, forged or unknown, because it
 * names no tenant whose trail could hold it. (Logins name a tenant themselves, and have limits of
 * their own.)
 *
 * A refusal changes nothing, so its row needs no transaction in common with it. Rows are written
 * after the refusal, one at a time. The answer neither waits for its row nor depends on it: a
 * failure to write is logged and counted. A killed process may lose the last rows.
 *
 * A client can be refused a thousand times a second, and rows are kept for ever. So there is one
 * row a minute for the same subject, kind and reason, and at most `ROWS_MAX` a minute in total; the
 * rest is only counted. Each instance counts on its own.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { AuditEntry } from "./audit-trail.js";
import { recordAudit } from "./audit-trail-sql.js";

/** Between two rows of the same subject, kind and reason. */
export const REFUSAL_WINDOW_MS = 60_000;
/** Rows per window, and rows waiting to be written. At worst about a gigabyte a week. */
const ROWS_MAX = 1000;

export interface RefusedAct extends Omit<AuditEntry, "atMs" | "outcome" | "reason" | "eventId"> {
  /** The user who tried, or whose token was used; an id within the tenant. */
  readonly subject: string;
  /** The problem code of the answer. */
  readonly reason: string;
}

export interface Refusals {
  /** Never throws and never waits. */
  record(refused: RefusedAct): void;
}

export interface RefusalObserver {
  onWritten(): void;
  /** There was the same row a moment ago, or there were too many others. */
  onLeftOut(): void;
  onFailed(error: unknown): void;
}

export interface RefusalTrailOptions {
  readonly db: Database;
  readonly clock: Clock;
  readonly observer: RefusalObserver;
  /** ROWS_MAX if left out. */
  readonly rowsMax?: number;
}

interface WaitingRow {
  readonly key: string;
  readonly entry: AuditEntry;
}

export class RefusalTrail implements Refusals {
  readonly #db: Database;
  readonly #clock: Clock;
  readonly #observer: RefusalObserver;
  readonly #rowsMax: number;
  /** When each key's window ends (monotonic), earliest first: all are equally long. */
  readonly #windows = new Map<string, number>();
  readonly #waiting: WaitingRow[] = [];
  #writing: Promise<void> | undefined;

  constructor({ db, clock, observer, rowsMax = ROWS_MAX }: RefusalTrailOptions) {
    this.#db = db;
    this.#clock = clock;
    this.#observer = observer;
    this.#rowsMax = rowsMax;
  }

  record({ subject, ...refused }: RefusedAct): void {
    const key = JSON.stringify([refused.tenant, subject, refused.kind, refused.reason]);
    if (!this.#admits(key)) {
      this.#observer.onLeftOut();
      return;
    }
    const entry = { ...refused, atMs: this.#clock.wallMs(), outcome: "refused" } as const;
    this.#waiting.push({ key, entry });
    this.#writing ??= this.#writeWaiting();
  }

  /** Settles once every row is written or has failed. Never rejects. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #admits(key: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    for (const [one, endsAtMs] of this.#windows) {
      if (endsAtMs > nowMs) break;
      this.#windows.delete(one);
    }
    if (this.#windows.has(key)) return false;
    if (Math.max(this.#windows.size, this.#waiting.length) >= this.#rowsMax) return false;
    this.#windows.set(key, nowMs + REFUSAL_WINDOW_MS);
    return true;
  }

  /** To be started when there is something to write. */
  async #writeWaiting(): Promise<void> {
    for (let row = this.#waiting.shift(); row !== undefined; row = this.#waiting.shift()) {
      await this.#write(row);
    }
    // In the same tick as the last `shift`, so that a row added later starts a new run.
    this.#writing = undefined;
  }

  async #write({ key, entry }: WaitingRow): Promise<void> {
    const { tenant } = entry;
    try {
      await this.#db.transaction({ role: "tenant", tenant }, (queries) =>
        recordAudit(queries, entry),
      );
      this.#observer.onWritten();
    } catch (error) {
      // The next refusal of this kind may be recorded.
      this.#windows.delete(key);
      this.#observer.onFailed(error);
    }
  }
}
