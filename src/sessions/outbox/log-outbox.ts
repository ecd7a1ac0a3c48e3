/**
 * Publishes at once what a request has committed, and waits for the receipt.
 *
 *   commit ─► script (requires the generation) ─► is it still current in the database? ─► acknowledged
 *
 * An instance may write to a Redis whose log the database no longer uses: that log is in order, and
 * no relay restores it. So an entry counts as published only if the database, asked after the
 * script has answered, has the generation that it was written into as its current one; otherwise
 * the relay publishes it into the current log. `restore.ts` explains why that misses nothing.
 *
 * Any failure here costs time but never a revocation: the relay publishes what was not published or
 * not recorded as published.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import { cutOffOf } from "../../revocation-log/entry.js";
import type { Publisher, DecidedRevocation } from "../../revocation-log/publisher.js";
import type { EntryAddress, Receipt } from "../../revocation-log/receipt.js";
import { GenerationCheck } from "./generation-check.js";
import type { Outbox, RevocationReceipt } from "./outbox.js";
import { readLogRecord } from "./log-record-sql.js";
import { furthest, PublicationRecorder } from "./publication-recorder.js";
import { PublishCircuitBreaker, type BreakerOutcome } from "./publish-circuit-breaker.js";
import { WaiterQuota } from "./waiter-quota.js";
import { recordTenantOf } from "./revocation-record-sql.js";
import { findRevocation, type Publication } from "./stored-revocations-sql.js";

/** Acts set cut-offs at the next whole second at the latest. */
const CUT_OFF_WAIT_MAX_MS = 1000;

/** Implemented by `ReceiptCollector`. */
export interface ReceiptWaiter {
  waitFor(entry: EntryAddress, waitMs: number): Promise<Receipt>;
}

export interface OutboxObserver {
  /** How many revocations of one request are in force. */
  onPublished(count: number): void;
  /** How many are left to the relay; `code` says why. */
  onLeft(count: number, code: string): void;
  /** They are published, but that could not be recorded: they will be published again. */
  onRecordingFailed(error: unknown): void;
}

export interface LogOutboxOptions {
  readonly database: Database;
  readonly clock: Clock;
  /** Closed by the owner. */
  readonly publisher: Publisher;
  readonly receipts: ReceiptWaiter;
  /** Whether a generation is the current one. Left out: asks the database. */
  readonly check?: Pick<GenerationCheck, "isCurrent">;
  readonly observer: OutboxObserver;
}

/** Between two checks whether a revocation has been published. */
const LOOK_MS = 50;

interface Attempt {
  readonly committed: DecidedRevocation;
  readonly outcome: BreakerOutcome | Unconfirmed;
}

/** Written into a log that is not known to be the current one. */
type Unconfirmed = {
  readonly published: false;
  readonly code: "generation_differs" | "database_unavailable";
};

export class LogOutbox implements Outbox {
  readonly #database: Database;
  readonly #breaker: PublishCircuitBreaker;
  readonly #receipts: ReceiptWaiter;
  readonly #check: Pick<GenerationCheck, "isCurrent">;
  readonly #recorder: PublicationRecorder;
  readonly #waiters = new WaiterQuota();
  readonly #observer: OutboxObserver;
  readonly #clock: Clock;

  constructor({ database, clock, publisher, receipts, check, observer }: LogOutboxOptions) {
    this.#breaker = new PublishCircuitBreaker(publisher, clock);
    this.#receipts = receipts;
    this.#check = check ?? new GenerationCheck(database);
    this.#database = database;
    this.#clock = clock;
    this.#observer = observer;
    this.#recorder = new PublicationRecorder(database, clock, (error) =>
      observer.onRecordingFailed(error),
    );
  }

  async publish(
    committed: readonly DecidedRevocation[],
    waitMs: number,
  ): Promise<RevocationReceipt> {
    const attempts = await Promise.all(committed.map((one) => this.#attempt(one)));
    const published = attempts.flatMap(({ committed, outcome }): Publication[] =>
      outcome.published ? [{ committed, ...addressOf(outcome) }] : [],
    );
    for (const one of published) this.#recorder.add(one);
    if (published.length > 0) this.#observer.onPublished(published.length);
    const left = attempts.flatMap(({ outcome }) => (outcome.published ? [] : [outcome]));
    const [refusal] = left;
    if (refusal !== undefined) {
      this.#observer.onLeft(left.length, refusal.code);
      return { published: false, code: refusal.code };
    }
    const [nodes] = await Promise.all([
      this.#receipt(published, waitMs),
      this.#cutOffsToPass(committed),
    ]);
    return { published: true, ...(nodes === undefined ? {} : { nodes }) };
  }

  async receiptAgain(
    committed: DecidedRevocation,
    { waitMs, actor }: { readonly waitMs: number; readonly actor: string },
  ): Promise<RevocationReceipt> {
    const waits = waitMs > 0 && this.#waiters.take(actor);
    const endMs = this.#clock.monotonicMs() + (waits ? waitMs : 0);
    try {
      for (;;) {
        const found = await this.#lookAgain(committed);
        const leftMs = endMs - this.#clock.monotonicMs();
        if (found.published) {
          const nodes = leftMs > 0 ? await this.#nodesAt(found.address, leftMs) : undefined;
          return { published: true, ...(nodes === undefined ? {} : { nodes }) };
        }
        if (leftMs <= 0) return { published: false, code: "pending" };
        await delay(Math.min(LOOK_MS, leftMs));
      }
    } finally {
      if (waits) this.#waiters.leave(actor);
    }
  }

  /** Settles when everything published is recorded, or has failed to be. */
  async close(): Promise<void> {
    await this.#recorder.close();
  }

  async #attempt(committed: DecidedRevocation): Promise<Attempt> {
    const outcome = await this.#breaker.publish(committed);
    if (!outcome.published) return { committed, outcome };
    const isCurrent = await this.#check.isCurrent(outcome.generation);
    if (isCurrent === true) return { committed, outcome };
    const code = isCurrent === false ? "generation_differs" : "database_unavailable";
    return { committed, outcome: { published: false, code } };
  }

  /** A token issued after the answer must not be revoked by the cut-off. */
  async #cutOffsToPass(committed: readonly DecidedRevocation[]): Promise<void> {
    const latestS = Math.max(0, ...committed.map(({ revocation }) => cutOffOf(revocation) ?? 0));
    const aheadMs = latestS * 1000 - this.#clock.wallMs();
    if (aheadMs > 0) await delay(Math.min(aheadMs, CUT_OFF_WAIT_MAX_MS));
  }

  async #receipt(
    published: readonly Publication[],
    waitMs: number,
  ): Promise<RevocationReceipt["nodes"]> {
    const [first] = published;
    if (waitMs <= 0 || first === undefined) return undefined;
    const actor = first.committed.actor ?? "";
    if (!this.#waiters.take(actor)) return undefined;
    try {
      return await this.#nodesAt(furthest(published).at(-1), waitMs);
    } finally {
      this.#waiters.leave(actor);
    }
  }

  /**
   * A node that has applied the last entry has applied all before it. If the log was restored in
   * between, the new one contains what the old one did.
   */
  async #nodesAt(
    last: EntryAddress | undefined,
    waitMs: number,
  ): Promise<RevocationReceipt["nodes"]> {
    try {
      return last && (await this.#receipts.waitFor(last, waitMs));
    } catch {
      return undefined;
    }
  }

  /**
   * The log's known seq is recorded together with the publication: it is the entry's own or a later
   * one. The entry's ID is not recorded; the relay records that of the last entry it has seen.
   */
  #lookAgain({ eventId, revocation }: DecidedRevocation): Promise<{
    readonly published: boolean;
    readonly address?: EntryAddress | undefined;
  }> {
    const tenant = recordTenantOf(revocation);
    return this.#database.transaction({ role: "relay" }, async (queries) => {
      const stored = await findRevocation(queries, tenant, eventId);
      // A revocation that has been purged was published long before.
      if (stored !== undefined && stored.published === undefined) return { published: false };
      const record = await readLogRecord(queries);
      const { generation, seq = 0, importedEntryId: entryId } = record ?? {};
      return { published: true, address: generation ? { generation, seq, entryId } : undefined };
    });
  }
}

/** Drops the other fields of a publish outcome. */
function addressOf({ generation, seq, entryId }: EntryAddress): EntryAddress {
  return { generation, seq, entryId };
}
