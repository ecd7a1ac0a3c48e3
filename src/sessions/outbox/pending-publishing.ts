/**
 * Publishes what is committed and not known to be published, oldest first.
 *
 * A pass reads the pending rows page by page. Every pass starts with the oldest again: it selects
 * by state, so a row that is committed late is not missed.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { Publisher, PublishOutcome } from "../../revocation-log/publisher.js";
import { isCurrentGeneration, recordSeq } from "./log-record-sql.js";
import { furthest } from "./publication-recorder.js";
import {
  markPublished,
  pendingAfter,
  type Publication,
  type StoredRevocation,
} from "./stored-revocations-sql.js";

export const PENDING_PAGE_MAX = 500;
const IN_FLIGHT_MAX = 32;
/** Each attempt adds an entry to the log, so attempts that cannot succeed must be rare. */
const COOLDOWN_MIN_MS = 100;
const COOLDOWN_MAX_MS = 2000;

export type Refusal = Exclude<PublishOutcome, { readonly published: true }>;

export interface PassResult {
  readonly published: number;
  /** Why the pass ended early, or why an entry can never be published. */
  readonly refusal: Refusal | undefined;
}

export interface PendingDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly publisher: Publisher;
}

export class PendingPublishing {
  readonly #dependencies: PendingDependencies;
  /** Refused passes in a row. */
  #refused = 0;
  /** No attempt before this time (monotonic), and why. */
  #cooldown: { readonly untilMs: number; readonly refusal: Refusal } | undefined;

  constructor(dependencies: PendingDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * `first`: the first page of pending rows; `generation`: the one that was current when the page
   * was read. Never rejects because of Redis.
   */
  async pass(
    first: readonly StoredRevocation[],
    generation: string,
    check: () => void,
  ): Promise<PassResult> {
    const { database, clock } = this.#dependencies;
    if (this.#cooldown !== undefined && clock.monotonicMs() < this.#cooldown.untilMs) {
      return { published: 0, refusal: this.#cooldown.refusal };
    }
    this.#cooldown = undefined;
    let published = 0;
    let never: Refusal | undefined;
    for (let page = first; page.length > 0;) {
      check();
      const attempt = await this.#publishPage(page, generation);
      const recorded = await this.#record(attempt.published, generation);
      if (recorded) published += attempt.published.length;
      const refusal = recorded ? attempt.refusal : OTHER_GENERATION;
      if (refusal !== undefined) {
        this.#refusedBy(refusal);
        return { published, refusal };
      }
      this.#refused = 0;
      if (attempt.own !== undefined && attempt.own.code !== "cutoff_too_late")
        never ??= attempt.own;
      const last = page.at(-1);
      if (page.length < PENDING_PAGE_MAX) break;
      page = await database.transaction({ role: "relay" }, (queries) =>
        pendingAfter(queries, last, PENDING_PAGE_MAX),
      );
    }
    return { published, refusal: never };
  }

  #refusedBy(refusal: Refusal): void {
    this.#refused += 1;
    if (refusal.code !== "too_few_replicas") return;
    const delayMs = Math.min(COOLDOWN_MIN_MS * 2 ** Math.min(this.#refused, 10), COOLDOWN_MAX_MS);
    this.#cooldown = { untilMs: this.#dependencies.clock.monotonicMs() + delayMs, refusal };
  }

  async #publishPage(
    page: readonly StoredRevocation[],
    generation: string,
  ): Promise<{
    readonly published: readonly Publication[];
    readonly refusal: Refusal | undefined;
    /** For an entry that can never be published, or not yet; it does not stop the others. */
    readonly own: Refusal | undefined;
  }> {
    const { publisher } = this.#dependencies;
    const waiting = [...page];
    const published: Publication[] = [];
    let refusal: Refusal | undefined;
    let own: Refusal | undefined;
    const work = async (): Promise<void> => {
      for (;;) {
        const committed = refusal === undefined ? waiting.shift() : undefined;
        if (committed === undefined) return;
        const outcome = await publisher.publish({ ...committed, generation });
        if (outcome.published) {
          published.push({
            committed,
            generation: outcome.generation,
            seq: outcome.seq,
          });
          // The log refuses this entry for its own sake, which does not block the others.
        } else if (OWN_FAULTS.has(outcome.code)) own ??= outcome;
        else refusal ??= outcome;
      }
    };
    // After a refusal, one attempt is enough to find out whether it has passed.
    const workers = this.#refused > 0 ? 1 : IN_FLIGHT_MAX;
    await Promise.all(Array.from({ length: workers }, work));
    return { published, refusal, own };
  }

  /** False, with nothing recorded as published, if another generation is current by now. */
  async #record(published: readonly Publication[], generation: string): Promise<boolean> {
    if (published.length === 0) return true;
    const { database, clock } = this.#dependencies;
    return database.transaction({ role: "relay" }, async (queries) => {
      if (!(await isCurrentGeneration(queries, generation))) return false;
      await markPublished(queries, published, clock.wallMs());
      for (const one of furthest(published)) await recordSeq(queries, one);
      return true;
    });
  }
}

const OWN_FAULTS: ReadonlySet<Refusal["code"]> = new Set([
  "cutoff_too_late",
  "entry_unreadable",
  "out_of_range",
]);

const OTHER_GENERATION: Refusal = {
  published: false,
  code: "generation_differs",
  message: "the log was restored meanwhile, here or in another Redis",
};
