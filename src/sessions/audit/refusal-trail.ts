/**
 * The rows of acts that were refused to somebody who is known: by the access token, or by the refresh
 * token, however dead. Whoever is not known has no tenant in whose trail it could stand: there is no
 * row for a token that is missing, forged or never given out. (Logins name a tenant themselves, and
 * are bounded by limits of their own.)
 *
 * A refusal changes nothing, so its row needs no part in any transaction. It is written right after
 * the refusal, one row at a time. The answer neither waits for it nor depends on it: a refusal that is
 * right stays one when the row cannot be written, which is told and counted. A program that is killed
 * may lose the last rows.
 *
 * Whoever is refused once can be refused a thousand times a second, and rows stay for ever. So there
 * is one row a minute for the same subject, kind and reason, and no more than `ROWS_MAX` a minute
 * for all; what is left out is counted only. Each instance remembers for itself.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { AuditEntry } from "./audit-trail.js";
import { recordAudit } from "./audit-trail-sql.js";

/** From one row to the next of the same subject, kind and reason. */
export const REFUSAL_WINDOW_MS = 60_000;
/** Within a window, and waiting to be written: a gigabyte in a week, should somebody try. */
const ROWS_MAX = 1000;

export interface RefusedAct extends Omit<AuditEntry, "atMs" | "outcome" | "reason" | "eventId"> {
  /** The user who tried, or whose token it was: within the tenant. */
  readonly subject: string;
  /** The code that was answered. */
  readonly reason: string;
}

export interface Refusals {
  /** Never throws and never waits. */
  record(refused: RefusedAct): void;
}

export interface RefusalObserver {
  onWritten(): void;
  /** There has been such a row a moment ago, or too many others. */
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
  /** When each key's window ends (monotonic), the earliest first: all are equally long. */
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

  /** Settles when everything is written, or could not be. Never rejects. */
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

  /** To be begun when there is something to write. */
  async #writeWaiting(): Promise<void> {
    for (let row = this.#waiting.shift(); row !== undefined; row = this.#waiting.shift()) {
      await this.#write(row);
    }
    // Before anybody else has a turn: whoever comes next begins anew.
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
      // The next one may have better luck.
      this.#windows.delete(key);
      this.#observer.onFailed(error);
    }
  }
}
