/** PostgreSQL through node-postgres: a bounded pool, and every wait bounded on both sides. */
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { migrate } from "drizzle-orm/node-postgres/migrator";
import { Client, Pool, type ClientConfig } from "pg";
import type { Database, HeldLock, LockName, PoolCounts, Scope } from "./database.js";
import { toDatabaseError } from "./error-sql.js";
import { MIGRATIONS_TABLE, migrationsFolder, refuseNewerSchema } from "./migrations-sql.js";
import { takeScope, type Queries } from "./queries-sql.js";

/** For a free connection of the pool and for making one. */
const CONNECT_TIMEOUT_MS = 2000;
/** The server ends a statement that takes longer… */
const STATEMENT_TIMEOUT_MS = 5000;
/** …or waits longer for a lock, or sits in a transaction whose program went away. */
const LOCK_TIMEOUT_MS = 3000;
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000;
/** A server that says nothing at all, not even that the time is over. */
const QUERY_TIMEOUT_MS = 7000;
/** Migrations change whole tables, and the lock may be held by one that does. */
const MIGRATION_TIMEOUT_MS = 120_000;
const IDLE_TIMEOUT_MS = 30_000;
/** Asking whether a lock is still ours. */
const CONFIRM_TIMEOUT_MS = 500;

/** Any fixed numbers; the first one tells our locks from other programs'. */
const LOCK_CLASS = 1_397_900_115;
const LOCKS: Readonly<Record<LockName, number>> = { relay: 1, migrations: 2 };

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string;
  readonly poolMax: number;
}

export function openPostgres(options: PostgresOptions): Database {
  const connection: ClientConfig = {
    connectionString: options.url,
    application_name: "sekisho",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
  };
  const pool = new Pool({
    ...connection,
    max: options.poolMax,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    lock_timeout: LOCK_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // An idle connection that ends is replaced; without a listener it would end the program.
  pool.on("error", () => undefined);
  return new PostgresDatabase(pool, connection, options.poolMax);
}

class PostgresDatabase implements Database {
  readonly #pool: Pool;
  readonly #connection: ClientConfig;
  readonly #max: number;

  constructor(pool: Pool, connection: ClientConfig, max: number) {
    this.#pool = pool;
    this.#connection = connection;
    this.#max = max;
  }

  get pool(): PoolCounts {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return {
      max: this.#max,
      inUse: totalCount - idleCount,
      idle: idleCount,
      waiting: waitingCount,
    };
  }

  async transaction<T>(scope: Scope, work: (queries: Queries) => Promise<T>): Promise<T> {
    try {
      return await drizzle(this.#pool).transaction(async (transaction) => {
        await takeScope(transaction, scope);
        return work(transaction);
      });
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async migrate(): Promise<void> {
    const client = new Client({ ...this.#connection, query_timeout: MIGRATION_TIMEOUT_MS });
    client.on("error", () => undefined);
    try {
      await client.connect();
      // Held until the connection ends; whoever comes second finds nothing left to do.
      await client.query("SELECT pg_advisory_lock($1, $2)", [LOCK_CLASS, LOCKS.migrations]);
      const queries = drizzle(client);
      await refuseNewerSchema(queries);
      await migrate(queries, { migrationsFolder: migrationsFolder(), ...MIGRATIONS_TABLE });
    } catch (error) {
      throw toDatabaseError(error);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async ping(): Promise<void> {
    try {
      await drizzle(this.#pool).execute(sql`SELECT 1`);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async tryLock(name: LockName): Promise<HeldLock | undefined> {
    const client = new Client({ ...this.#connection, query_timeout: CONFIRM_TIMEOUT_MS });
    let lost = false;
    client.on("error", () => (lost = true));
    client.on("end", () => (lost = true));
    try {
      await client.connect();
      const found = await client.query<{ held: boolean }>(
        "SELECT pg_try_advisory_lock($1, $2) AS held",
        [LOCK_CLASS, LOCKS[name]],
      );
      if (found.rows[0]?.held !== true) {
        await client.end();
        return undefined;
      }
    } catch (error) {
      await client.end().catch(() => undefined);
      throw toDatabaseError(error);
    }
    return {
      confirm: async () => {
        if (lost) return false;
        return client.query("SELECT 1").then(
          () => !lost,
          () => false,
        );
      },
      release: async () => client.end().catch(() => undefined),
    };
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}
