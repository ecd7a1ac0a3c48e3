/**
 * Puts down in the database what a request has published, so that the relay does not publish it
 * again. Nobody waits for it: one transaction at a time takes whatever has come up meanwhile, and
 * what does not get recorded is published once more, which is harmless.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import { recordSeq } from "./log-record-sql.js";
import { markPublished, type Publication } from "./stored-revocations-sql.js";

const QUEUED_MAX = 10_000;
const BATCH_MAX = 1000;

export class PublicationRecorder {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #onFailed: (error: unknown) => void;
  #queue: Publication[] = [];
  #recording: Promise<void> | undefined;

  constructor(database: Database, clock: Clock, onFailed: (error: unknown) => void) {
    this.#database = database;
    this.#clock = clock;
    this.#onFailed = onFailed;
  }

  add(publication: Publication): void {
    if (this.#queue.length >= QUEUED_MAX) return;
    this.#queue.push(publication);
    this.#recording ??= this.#record();
  }

  /** Settles when everything that was added is recorded, or could not be. */
  async close(): Promise<void> {
    await this.#recording;
  }

  async #record(): Promise<void> {
    // Those of the same act come one right after the other.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_MAX);
      this.#queue = this.#queue.slice(BATCH_MAX);
      try {
        await this.#recordBatch(batch);
      } catch (error) {
        // The others would fail as well, each after its own time.
        this.#queue = [];
        this.#onFailed(error);
      }
    }
    this.#recording = undefined;
  }

  #recordBatch(batch: readonly Publication[]): Promise<void> {
    return this.#database.transaction({ role: "relay" }, async (queries) => {
      await markPublished(queries, batch, this.#clock.wallMs());
      for (const one of furthest(batch)) await recordSeq(queries, one.partition, one);
    });
  }
}

/** Of each partition's generation the publication with the highest seq, in the partitions' order. */
export function furthest(batch: readonly Publication[]): readonly Publication[] {
  const found = new Map<string, Publication>();
  for (const one of batch) {
    const key = `${one.partition} ${one.generation}`;
    if (one.seq > (found.get(key)?.seq ?? -1)) found.set(key, one);
  }
  return [...found.values()].sort((a, b) => a.partition - b.partition);
}
