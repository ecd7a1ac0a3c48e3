/**
 * The port to the database: transactions, each under a role that sees only what it needs.
 *
 * Guarantee: what `work` did is there wholly or not at all, and is on disk once `transaction` has
 * resolved. The isolation is READ COMMITTED: who needs more takes row locks, always user before
 * session. `work` may be called once only; nothing of it may reach outside before it is committed.
 */
import type { Queries } from "./queries-sql.js";
import type { Scope } from "./scope.js";

export interface Database {
  /** Rejects with a DatabaseError, or with whatever `work` threw. Bounded in time. */
  transaction<T>(scope: Scope, work: (sql: Queries) => Promise<T>): Promise<T>;
  /** Brings the tables up to date, one program at a time. Rejects with a DatabaseError. */
  migrate(): Promise<void>;
  /**
   * Whether it answers now: its wall clock, in milliseconds since the Unix epoch. Rejects with a
   * DatabaseError. Bounded in time.
   */
  ping(): Promise<number>;
  /**
   * A lock that at most one program holds, on a connection of its own; undefined while another one
   * holds it. It is lost with its connection, which `confirm` tells.
   */
  tryLock(name: LockName): Promise<HeldLock | undefined>;
  /** For metrics. */
  readonly pool: PoolCounts;
  close(): Promise<void>;
}

export type LockName = "relay" | "migrations";

export interface HeldLock {
  /**
   * Whether it is still ours: asks the server. Never rejects; false also where it cannot answer, or
   * has become read-only: the lock is then another server's to give.
   */
  confirm(): Promise<boolean>;
  release(): Promise<void>;
}

export interface PoolCounts {
  readonly max: number;
  readonly inUse: number;
  readonly idle: number;
  readonly waiting: number;
}

/**
 * - `unavailable`: cannot be reached, or did not answer in time. It is unknown whether a commit that
 *   was under way has happened.
 * - `unique`: a row with that key is there already; `constraint` names the rule.
 * - `missing_reference`: it refers to a row that is not there.
 * - `not_allowed`: the role may not do that.
 * - `newer_schema`: a newer version of the program has changed the tables.
 * - `in_use`: another program has the data folder.
 * - `data_folder`: the data folder cannot be used as it is; the message says why.
 * - `failed_over`: it may have forgotten what is in the log, and that is not imported yet.
 * - `unexpected`: everything else.
 */
export type DatabaseErrorCode =
  | "unavailable"
  | "unique"
  | "missing_reference"
  | "not_allowed"
  | "newer_schema"
  | "in_use"
  | "data_folder"
  | "failed_over"
  | "unexpected";

export class DatabaseError extends Error {
  readonly code: DatabaseErrorCode;
  readonly constraint: string | undefined;

  constructor(
    code: DatabaseErrorCode,
    message: string,
    options?: ErrorOptions & { constraint?: string },
  ) {
    super(message, options);
    this.name = "DatabaseError";
    this.code = code;
    this.constraint = options?.constraint;
  }
}
