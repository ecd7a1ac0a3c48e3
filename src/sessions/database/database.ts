/**
 * The port to the database: transactions, each under a role that sees only what it needs.
 *
 * Guarantee: `work` is applied completely or not at all, and is on disk once `transaction` has
 * resolved. The isolation is READ COMMITTED; where more is needed, row locks are taken, always user
 * before session. `work` is called at most once and must have no outside effect before the commit.
 */
import type { Queries } from "./queries-sql.js";
import type { Scope } from "./scope.js";

export interface Database {
  /** Rejects with a DatabaseError, or with what `work` threw. Bounded in time. */
  transaction<T>(scope: Scope, work: (sql: Queries) => Promise<T>): Promise<T>;
  /** Brings the tables up to date, one instance at a time. Rejects with a DatabaseError. */
  migrate(): Promise<void>;
  /**
   * The database's wall clock, in milliseconds since the Unix epoch. Rejects with a DatabaseError
   * if it does not answer. Bounded in time.
   */
  ping(): Promise<number>;
  /**
   * A lock that at most one instance holds, on a connection of its own; undefined while another one
   * holds it. It is lost with its connection, which `confirm` reports.
   */
  tryLock(name: LockName): Promise<HeldLock | undefined>;
  /** For metrics. */
  readonly pool: PoolCounts;
  close(): Promise<void>;
}

export type LockName = "relay" | "migrations";

export interface HeldLock {
  /**
   * Whether we still hold it: asks the server. Never rejects. False also if the server cannot
   * answer or has become read-only: then another server grants the lock.
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
 * - `unavailable`: not reachable, or no answer in time. If a commit was in flight, it is unknown
 *   whether it happened.
 * - `unique`: a row with that key exists; `constraint` names the rule.
 * - `missing_reference`: it refers to a row that does not exist.
 * - `not_allowed`: the role lacks the privilege.
 * - `newer_schema`: a newer version of Sekisho has changed the tables.
 * - `in_use`: another process has the data folder.
 * - `data_folder`: the data folder cannot be used; the message says why.
 * - `failed_over`: it may have lost revocations that are in the log and not imported yet.
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
