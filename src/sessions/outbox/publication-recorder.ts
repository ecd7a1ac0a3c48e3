/**
 * Records in the database what a request has published, so that the relay does not publish it
 * again. Requests do not wait for it: one transaction at a time takes everything queued meanwhile,
 * and what is not recorded is published again, which is harmless.
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

  /** Settles when everything added is recorded, or has failed to be. */
  async close(): Promise<void> {
    await this.#recording;
  }

  async #record(): Promise<void> {
    // Publications of the same act are added in the same tick.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, BATCH_MAX);
      this.#queue = this.#queue.slice(BATCH_MAX);
      try {
        await this.#recordBatch(batch);
      } catch (error) {
        // The others would fail as well, each after its own timeout.
        this.#queue = [];
        this.#onFailed(error);
      }
    }
    this.#recording = undefined;
  }

  #recordBatch(batch: readonly Publication[]): Promise<void> {
    return this.#database.transaction({ role: "relay" }, async (queries) => {
      await markPublished(queries, batch, this.#clock.wallMs());
      for (const one of furthest(batch)) await recordSeq(queries, one);
    });
  }
}

/** The publication with the highest seq of each generation. */
export function furthest(batch: readonly Publication[]): readonly Publication[] {
  const found = new Map<string, Publication>();
  for (const one of batch) {
    if (one.seq > (found.get(one.generation)?.seq ?? -1)) found.set(one.generation, one);
  }
  return [...found.values()];
}
