/**
 * Stamps a partition's log as kept by this database, once a second, by whoever holds the lock: a node
 * that follows a log without such a stamp follows one that was left behind.
 *
 * The database's record says which generation that is, and the stamp demands it, so an instance whose
 * Redis holds another log stamps nothing.
 */
import type { Database } from "../database/database.js";
import type { LogKeeper } from "../revocation/log-keeper.js";
import { readLogRecord } from "./log-record-sql.js";

export interface LogStampParts {
  readonly database: Database;
  readonly keeper: Pick<LogKeeper, "keep">;
  readonly partition: number;
}

export class LogStamp {
  readonly #parts: LogStampParts;

  constructor(parts: LogStampParts) {
    this.#parts = parts;
  }

  /** Rejects with a DatabaseError or a RevocationLogError. Bounded in time. */
  async renew(): Promise<void> {
    const { database, keeper, partition } = this.#parts;
    const record = await database.transaction({ role: "relay" }, (queries) =>
      readLogRecord(queries, partition),
    );
    if (record?.generation !== undefined) await keeper.keep(record.generation);
  }
}
