/** PostgreSQL through node-postgres: a bounded pool, and every wait bounded on both sides. */
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { escapeLiteral, Pool, type Client, type ClientConfig, type PoolClient } from "pg";

import { LOCK_CLASS, LOCKS, tryAdvisoryLock } from "./advisory-lock-postgres.js";
import { connectionConfig, OwnConnection, Sockets } from "./connection-postgres.js";
import {
  DatabaseError,
  type Database,
  type HeldLock,
  type LockName,
  type PoolCounts,
} from "./database.js";
import type { Scope } from "./scope.js";
import { isServersAnswer, toConnectionError, toDatabaseError } from "./error-sql.js";
import { MIGRATIONS_TABLE, migrationsFolder, refuseNewerSchema } from "./migrations-sql.js";
import { scopeSettings, type Queries } from "./queries-sql.js";
import { isReadOnly, READ_ONLY, readOnlyFault, readOnlyIn } from "./read-only-postgres.js";
import { missingRoles } from "./roles-postgres.js";
import { SERVER_TIME, serverMsIn } from "./server-time-sql.js";
import { StatementNames, queriesOn } from "./named-statements-postgres.js";

/** Callers beyond that are refused at once. */
const WAITING_MAX = 256;
/** The server ends a statement that takes longer … */
const STATEMENT_TIMEOUT_MS = 5000;
/** … or waits longer for a lock, or is idle in a transaction because its client went away. */
const LOCK_TIMEOUT_MS = 3000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** For a server that does not answer at all, not even with a timeout of its own. */
const QUERY_TIMEOUT_MS = 7000;
/** Migrations change whole tables, and may wait for another instance's. */
const MIGRATION_TIMEOUT_MS = 120_000;
const IDLE_TIMEOUT_MS = 30_000;

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string;
  readonly poolMax: number;
  /** Transactions that may queue for a connection; 256 if left out. */
  readonly waitingMax?: number;
  /** How long a server may be silent; 7000 if left out. */
  readonly queryTimeoutMs?: number;
  /** How long to wait for a new connection or a free one of the pool; 2000 if left out. */
  readonly connectTimeoutMs?: number;
}

export function openPostgres(options: PostgresOptions): Database {
  return new PostgresDatabase(options);
}

class PostgresDatabase implements Database {
  readonly #sockets = new Sockets();
  readonly #config: ClientConfig;
  readonly #pool: Pool;
  readonly #max: number;
  readonly #waitingMax: number;
  readonly #names = new StatementNames();
  /** Connections whose server accepted writes when they were last used. */
  readonly #tookWrites = new WeakSet<PoolClient>();
  #closing: Promise<void> | undefined;

  constructor(options: PostgresOptions) {
    const { url, poolMax, waitingMax = WAITING_MAX } = options;
    this.#config = connectionConfig(url, options.connectTimeoutMs);
    this.#max = poolMax;
    this.#waitingMax = waitingMax;
    this.#pool = new Pool({
      ...this.#config,
      stream: this.#sockets.make,
      max: poolMax,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
      query_timeout: options.queryTimeoutMs ?? QUERY_TIMEOUT_MS,
    });
    // The pool replaces a connection that ends, and its user's query fails. Without listeners, the
    // end of an idle connection, or of one between two queries, would end the process.
    this.#pool.on("error", () => undefined);
    this.#pool.on("connect", (client) => client.on("error", () => undefined));
  }

  get pool(): PoolCounts {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    const inUse = totalCount - idleCount;
    return { max: this.#max, inUse, idle: idleCount, waiting: waitingCount };
  }

  async transaction<T>(scope: Scope, work: (queries: Queries) => Promise<T>): Promise<T> {
    const client = await this.#takeWritable(async (one) =>
      readOnlyIn(await one.query(beginIn(scope))),
    );
    let over = false;
    // Queries after the end must not reach a connection that another transaction uses by then.
    const logQuery = () => {
      if (over) throw new DatabaseError("unexpected", "database: the transaction has ended");
    };
    const queries = queriesOn(client, this.#names, { logQuery });
    let reusable = false;
    try {
      const result = await work(queries);
      over = true;
      reusable = await commit(client);
      return result;
    } catch (error) {
      over = true;
      reusable = await isReusableAfter(error, client);
      throw toDatabaseError(error);
    } finally {
      client.release(!reusable);
    }
  }

  async migrate(): Promise<void> {
    const connection = new OwnConnection({ ...this.#config, query_timeout: MIGRATION_TIMEOUT_MS });
    try {
      await connection.client.connect().catch((error: unknown) => {
        throw toConnectionError(error);
      });
      await migrateLocked(connection.client);
    } catch (error) {
      const known = toDatabaseError(error);
      if (known instanceof DatabaseError && known.code === "not_allowed") {
        throw (await missingRoles(connection.client)) ?? known;
      }
      throw known;
    } finally {
      await connection.end();
    }
  }

  async ping(): Promise<number> {
    const client = await this.#takeWritable(isReadOnly).catch((error: unknown) => {
      throw toConnectionError(error);
    });
    let reusable = false;
    try {
      const { rows } = await client.query<object>(SERVER_TIME);
      reusable = true;
      return serverMsIn(rows);
    } catch (error) {
      throw toConnectionError(error);
    } finally {
      client.release(!reusable);
    }
  }

  async tryLock(name: LockName): Promise<HeldLock | undefined> {
    return tryAdvisoryLock(this.#config, name);
  }

  /** Running work gets a moment to finish; then its connections are closed. */
  close(): Promise<void> {
    this.#closing ??= this.#sockets.closeAfter(this.#pool.end());
    return this.#closing;
  }

  /**
   * A connection whose server accepts writes; `ask` says whether it is read-only. A pooled
   * connection that has become read-only is dropped and the next one tried: after a failover, a new
   * connection leads to the new primary. If a new one is read-only too, this fails. So it tries at
   * most as many connections as the pool held, and one more.
   */
  async #takeWritable(ask: (client: PoolClient) => Promise<boolean>): Promise<PoolClient> {
    const client = await this.#take();
    let readOnly: boolean;
    try {
      readOnly = await ask(client);
    } catch (error) {
      client.release(!(await isReusableAfter(error, client)));
      throw toDatabaseError(error);
    }
    if (!readOnly) {
      this.#tookWrites.add(client);
      return client;
    }
    client.release(true);
    if (!this.#tookWrites.has(client)) throw readOnlyFault();
    return this.#takeWritable(ask);
  }

  async #take(): Promise<PoolClient> {
    if (this.#pool.waitingCount >= this.#waitingMax) {
      throw new DatabaseError(
        "unavailable",
        `database: the queue for a connection is full (${this.#waitingMax} transactions)`,
      );
    }
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw toConnectionError(error);
    }
  }
}

/** One round trip instead of two: every request to the service begins with it, most twice. */
function beginIn(scope: Scope): string {
  const settings = Object.entries(scopeSettings(scope)).map(
    ([name, value]) => `set_config(${escapeLiteral(name)}, ${escapeLiteral(value)}, true)`,
  );
  return `BEGIN; SELECT ${[...settings, READ_ONLY].join(", ")}`;
}

function isUnavailable(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === "unavailable";
}

/** Whether the pool may reuse the connection of a transaction that failed. */
async function isReusableAfter(error: unknown, client: PoolClient): Promise<boolean> {
  const usable = isServersAnswer(error) || !isUnavailable(toDatabaseError(error));
  return usable && rollBack(client);
}

/** Whether the rollback succeeded; otherwise the connection is dropped. */
async function rollBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}

/** Returns true: the pool may reuse the connection. */
async function commit(client: PoolClient): Promise<true> {
  let answer: string;
  try {
    answer = (await client.query("COMMIT")).command;
  } catch (error) {
    if (isServersAnswer(error)) throw error;
    const why = toConnectionError(error).message;
    throw new DatabaseError(
      "unavailable",
      `${why}: connection lost during COMMIT, so it is unknown whether the transaction was committed`,
    );
  }
  // All that PostgreSQL says where `work` has caught the error of one of its queries.
  if (answer !== "COMMIT") {
    throw new DatabaseError(
      "unexpected",
      "database: rolled back instead of committed, because one of its queries had failed",
    );
  }
  return true;
}

/** An instance that comes second finds nothing to do. The lock ends with the connection. */
async function migrateLocked(client: Client): Promise<void> {
  await client.query("SELECT pg_advisory_lock($1, $2)", [LOCK_CLASS, LOCKS.migrations]);
  const queries = drizzle(client);
  await refuseNewerSchema(queries);
  await migrate(queries, { migrationsFolder: migrationsFolder(), ...MIGRATIONS_TABLE });
}
