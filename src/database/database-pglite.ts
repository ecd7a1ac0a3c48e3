/** PGlite: PostgreSQL inside this process, in a folder. One program at a time. */
import { PGlite } from "@electric-sql/pglite";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/pglite";
import { migrate } from "drizzle-orm/pglite/migrator";
import type { Database, HeldLock, LockName, PoolCounts, Scope } from "./database.js";
import { toDatabaseError } from "./error-sql.js";
import { MIGRATIONS_TABLE, migrationsFolder, refuseNewerSchema } from "./migrations-sql.js";
import { takeScope, type Queries } from "./queries-sql.js";

/** Opens the database in `folder`, making it if it is not there. Rejects with a DatabaseError. */
export async function openPglite(folder: string): Promise<Database> {
  const client = await PGlite.create(folder, { relaxedDurability: false });
  return new PgliteDatabase(client);
}

class PgliteDatabase implements Database {
  readonly #client: PGlite;
  readonly #held = new Set<LockName>();
  #inUse = 0;

  constructor(client: PGlite) {
    this.#client = client;
  }

  /** One connection, whose transactions wait for each other. */
  get pool(): PoolCounts {
    const inUse = Math.min(this.#inUse, 1);
    return { max: 1, inUse, idle: 1 - inUse, waiting: this.#inUse - inUse };
  }

  async transaction<T>(scope: Scope, work: (queries: Queries) => Promise<T>): Promise<T> {
    this.#inUse += 1;
    try {
      return await drizzle(this.#client).transaction(async (transaction) => {
        await takeScope(transaction, scope);
        return work(transaction);
      });
    } catch (error) {
      throw toDatabaseError(error);
    } finally {
      this.#inUse -= 1;
    }
  }

  async migrate(): Promise<void> {
    try {
      const queries = drizzle(this.#client);
      await refuseNewerSchema(queries);
      await migrate(queries, { migrationsFolder: migrationsFolder(), ...MIGRATIONS_TABLE });
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  async ping(): Promise<void> {
    try {
      await drizzle(this.#client).execute(sql`SELECT 1`);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** Nobody else can have the folder open, so only callers in this program can be in each other's way. */
  tryLock(name: LockName): Promise<HeldLock | undefined> {
    if (this.#held.has(name)) return Promise.resolve(undefined);
    this.#held.add(name);
    return Promise.resolve({
      confirm: () => Promise.resolve(this.#held.has(name)),
      release: () => {
        this.#held.delete(name);
        return Promise.resolve();
      },
    });
  }

  async close(): Promise<void> {
    await this.#client.close();
  }
}
