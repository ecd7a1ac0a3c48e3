/**
 * Publishes at once what a request has committed, and waits for the receipt.
 *
 * Whatever goes wrong here costs time and never a revocation: what was not published, or is not
 * recorded as published, is the relay's.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../clock/clock.js";
import type { Database } from "../database/database.js";
import { partitionOf, PARTITIONS } from "../revocation/partition.js";
import type { Publisher } from "../revocation/publisher.js";
import type { EntryAddress, Receipt } from "../revocation/receipt.js";
import type { CommittedRevocation, Outbox, RevocationReceipt } from "./outbox.js";
import { readLogRecord } from "./log-record-sql.js";
import { readRevocation } from "./stored-revocations-sql.js";
import { furthest, PublicationRecorder, type Publication } from "./publication-recorder.js";
import { PublishGate, type GateOutcome } from "./publish-gate.js";
import { ReceiptPlaces } from "./receipt-places.js";

/** As `ReceiptDesk` does it. */
export interface ReceiptWaiter {
  waitFor(entry: EntryAddress, waitMs: number): Promise<Receipt>;
}

export interface OutboxPartition {
  readonly publisher: Publisher;
  readonly receipts: ReceiptWaiter;
}

export interface OutboxObserver {
  /** So many revocations of one request are in force. */
  onPublished(count: number): void;
  /** So many are left to the relay; `code` says why. */
  onLeft(count: number, code: string): void;
  /** They are published, but the database could not be told: they will be once more. */
  onRecordingFailed(error: unknown): void;
}

export interface LogOutboxOptions {
  readonly database: Database;
  readonly clock: Clock;
  /** By partition number. The owner closes them. */
  readonly partitions: readonly OutboxPartition[];
  readonly observer: OutboxObserver;
}

/** Between two looks at whether a revocation has been published. */
const LOOK_MS = 50;

type LogPlace = EntryAddress & { readonly partition: number };

interface Attempt {
  readonly partition: number;
  readonly committed: CommittedRevocation;
  readonly outcome: GateOutcome;
}

export class LogOutbox implements Outbox {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #partitions: readonly (OutboxPartition & { readonly gate: PublishGate })[];
  readonly #recorder: PublicationRecorder;
  readonly #places = new ReceiptPlaces();
  readonly #observer: OutboxObserver;

  constructor({ database, clock, partitions, observer }: LogOutboxOptions) {
    if (partitions.length !== PARTITIONS) throw new RangeError("one publisher for each partition");
    this.#partitions = partitions.map((partition) => ({
      ...partition,
      gate: new PublishGate(partition.publisher, clock),
    }));
    this.#database = database;
    this.#clock = clock;
    this.#observer = observer;
    this.#recorder = new PublicationRecorder(database, clock, (error) =>
      observer.onRecordingFailed(error),
    );
  }

  async publish(
    committed: readonly CommittedRevocation[],
    waitMs: number,
  ): Promise<RevocationReceipt> {
    const attempts = await Promise.all(committed.map((one) => this.#attempt(one)));
    const published = attempts.flatMap(({ outcome, ...what }): Publication[] =>
      outcome.published ? [{ ...what, generation: outcome.generation, seq: outcome.seq }] : [],
    );
    for (const one of published) this.#recorder.add(one);
    if (published.length > 0) this.#observer.onPublished(published.length);
    const left = attempts.flatMap(({ outcome }) => (outcome.published ? [] : [outcome]));
    const [refusal] = left;
    if (refusal !== undefined) {
      this.#observer.onLeft(left.length, refusal.code);
      return { published: false, code: refusal.code };
    }
    const nodes = await this.#receipt(published, waitMs);
    return { published: true, ...(nodes === undefined ? {} : { nodes }) };
  }

  async receiptAgain(
    committed: CommittedRevocation,
    { waitMs, actor }: { readonly waitMs: number; readonly actor: string },
  ): Promise<RevocationReceipt> {
    const waits = waitMs > 0 && this.#places.take(actor);
    const endMs = this.#clock.monotonicMs() + (waits ? waitMs : 0);
    try {
      for (;;) {
        const found = await this.#lookAgain(committed);
        const leftMs = endMs - this.#clock.monotonicMs();
        if (found.published) {
          const nodes = leftMs > 0 ? await this.#nodesAt(found.places, leftMs) : undefined;
          return { published: true, ...(nodes === undefined ? {} : { nodes }) };
        }
        if (leftMs <= 0) return { published: false, code: "pending" };
        await pause(Math.min(LOOK_MS, leftMs));
      }
    } finally {
      if (waits) this.#places.leave(actor);
    }
  }

  /** Settles when what was published is recorded, or could not be. */
  async close(): Promise<void> {
    await this.#recorder.close();
  }

  async #attempt(committed: CommittedRevocation): Promise<Attempt> {
    const partition = partitionOf(committed.revocation.tenant);
    const gate = this.#partitions[partition]?.gate;
    if (gate === undefined) throw new Error(`there is no publisher for partition ${partition}`);
    return { partition, committed, outcome: await gate.publish(committed) };
  }

  async #receipt(
    published: readonly Publication[],
    waitMs: number,
  ): Promise<RevocationReceipt["nodes"]> {
    const [first] = published;
    if (waitMs <= 0 || first === undefined) return undefined;
    const actor = first.committed.actor ?? "";
    if (!this.#places.take(actor)) return undefined;
    try {
      return await this.#nodesAt(furthest(published), waitMs);
    } finally {
      this.#places.leave(actor);
    }
  }

  /**
   * A node that has applied the last entry has applied all before it. Where the log was restored in
   * between, the new one holds what the old one did.
   */
  async #nodesAt(
    entries: readonly LogPlace[],
    waitMs: number,
  ): Promise<RevocationReceipt["nodes"]> {
    const last = new Map(entries.map((one) => [one.partition, one]));
    try {
      const receipts = await Promise.all(
        [...last].flatMap(
          ([partition, entry]) =>
            this.#partitions[partition]?.receipts.waitFor(entry, waitMs) ?? [],
        ),
      );
      return together(receipts);
    } catch {
      return undefined;
    }
  }

  /**
   * How far the log is known to have come is recorded together with what was published: that is the
   * entry itself, or one after it.
   */
  #lookAgain({ eventId, revocation: { tenant } }: CommittedRevocation): Promise<{
    readonly published: boolean;
    readonly places: readonly LogPlace[];
  }> {
    const partition = partitionOf(tenant);
    return this.#database.transaction({ role: "relay" }, async (queries) => {
      const stored = await readRevocation(queries, tenant, eventId);
      // One that is purged had been published long before.
      if (stored?.pending === true) return { published: false, places: [] };
      const record = await readLogRecord(queries, partition);
      const { generation, seq = 0 } = record ?? {};
      return { published: true, places: generation ? [{ partition, generation, seq }] : [] };
    });
  }
}

/** A node has applied them when it has in every partition that was written to. */
function together(receipts: readonly Receipt[]): Receipt | undefined {
  if (receipts.length <= 1) return receipts[0];
  const pending = receipts.flatMap((receipt) => receipt.pending);
  const silent = receipts.flatMap((receipt) => receipt.silent);
  const unconfirmed = new Set([...pending, ...silent].map(({ node }) => node));
  const applied = new Map<string, number>();
  for (const { node, ms } of receipts.flatMap((receipt) => receipt.applied)) {
    if (!unconfirmed.has(node)) applied.set(node, Math.max(ms, applied.get(node) ?? 0));
  }
  return { applied: [...applied].map(([node, ms]) => ({ node, ms })), pending, silent };
}
