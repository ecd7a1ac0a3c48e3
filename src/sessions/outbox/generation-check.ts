/**
 * Checks in the database whether a generation is the current one, once for all requests that ask at
 * the same time. A read answers only those that asked before it began; later ones share the next
 * read. So one connection is in use, however many ask.
 */
import type { Database } from "../database/database.js";
import { isCurrentGeneration } from "./log-record-sql.js";

/** undefined: the database did not answer. */
export type GenerationAnswer = boolean | undefined;

export class GenerationCheck {
  readonly #database: Database;
  /** Reads that have not begun yet, by generation. */
  readonly #next = new Map<string, Promise<GenerationAnswer>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(database: Database) {
    this.#database = database;
  }

  /** As of a moment after this call. Never rejects; bounded in time like any transaction. */
  isCurrent(generation: string): Promise<GenerationAnswer> {
    const shared = this.#next.get(generation);
    if (shared !== undefined) return shared;
    const read = this.#last.then(() => {
      this.#next.delete(generation);
      return this.#read(generation);
    });
    this.#next.set(generation, read);
    this.#last = read;
    return read;
  }

  async #read(generation: string): Promise<GenerationAnswer> {
    try {
      return await this.#database.transaction({ role: "relay" }, (queries) =>
        isCurrentGeneration(queries, generation),
      );
    } catch {
      return undefined;
    }
  }
}
