/**
 * PGlite: PostgreSQL inside this process, in a folder. One program at a time, and one transaction at
 * a time in it; the others wait for their turn.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { isNativeError } from "node:util/types";
import { PGlite } from "@electric-sql/pglite";
import { drizzle } from "drizzle-orm/pglite";
import { migrate } from "drizzle-orm/pglite/migrator";

import { openDataDirectory, type DataDirectory } from "./data-directory.js";
import {
  DatabaseError,
  type Database,
  type HeldLock,
  type LockName,
  type PoolCounts,
} from "./database.js";
import type { Scope } from "./scope.js";
import { toDatabaseError } from "./error-sql.js";
import { MIGRATIONS_TABLE, migrationsFolder, refuseNewerSchema } from "./migrations-sql.js";
import { takeScope, type Queries } from "./queries-sql.js";
import { SERVER_TIME, serverMsIn } from "./server-time-sql.js";
import { SYNCING_PARAMETERS, SyncedFolder } from "./synced-folder-pglite.js";
import { Mutex, type MutexBounds } from "./mutex.js";
import { UPKEEP_EVERY, upkeepSteps } from "./maintenance-pglite.js";

/** As long as PostgreSQL's pool lets them wait; a transaction takes about a millisecond. */
const TURN_BOUNDS: MutexBounds = { waitingMax: 256, waitMaxMs: 2000 };

/** Lines of PostgreSQL's that tell why it does not open. */
const WORDS_KEPT = 3;

export interface PgliteOptions {
  readonly turns?: MutexBounds;
  readonly upkeepEvery?: number;
  /** Brings an open file to disk; fsync if left out. */
  readonly sync?: (descriptor: number) => void;
}

/** Opens the database in `folder`, making it if it is not there. Rejects with a DatabaseError. */
export async function openPglite(folder: string, options: PgliteOptions = {}): Promise<Database> {
  const directory = await openDataDirectory(folder, makeDatabase, options.sync);
  /** PostgreSQL's own words, for as long as it opens. */
  let said: string[] | undefined = [];
  try {
    // Of a program that was killed. Ours is the only one here, whatever the file says, and one that
    // was killed before it had filled the file would keep PostgreSQL from starting.
    await rm(join(directory.database, "postmaster.pid"), { force: true });
    const client = await PGlite.create({
      fs: new SyncedFolder(directory.database, options.sync),
      startParams: [...SYNCING_PARAMETERS],
      onStderr: (text) => {
        said = said?.concat(text).slice(-WORDS_KEPT);
        return false;
      },
    });
    said = undefined;
    return new PgliteDatabase(client, directory, options);
  } catch (error) {
    await directory.close();
    const why = [isNativeError(error) ? error.message : String(error), ...(said ?? [])].join(": ");
    throw new DatabaseError(
      "data_folder",
      `the database in ${directory.database} does not open: ${why}`,
      { cause: error },
    );
  }
}

async function makeDatabase(emptyFolder: string): Promise<void> {
  const client = await PGlite.create(emptyFolder);
  await client.close();
}

class PgliteDatabase implements Database {
  readonly #client: PGlite;
  readonly #directory: DataDirectory;
  readonly #turns: Mutex;
  readonly #upkeepEvery: number;
  /** Each lock's present holder. */
  readonly #held = new Map<LockName, symbol>();
  #sinceUpkeep = 0;
  #upkeep: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(client: PGlite, directory: DataDirectory, options: PgliteOptions) {
    this.#client = client;
    this.#directory = directory;
    this.#turns = new Mutex(options.turns ?? TURN_BOUNDS);
    this.#upkeepEvery = options.upkeepEvery ?? UPKEEP_EVERY;
  }

  get pool(): PoolCounts {
    const inUse = this.#turns.taken ? 1 : 0;
    return { max: 1, inUse, idle: 1 - inUse, waiting: this.#turns.waiting };
  }

  async transaction<T>(scope: Scope, work: (queries: Queries) => Promise<T>): Promise<T> {
    const result = await this.#inTurn(() =>
      drizzle(this.#client).transaction(async (transaction) => {
        await takeScope(transaction, scope);
        return work(transaction);
      }),
    );
    this.#sinceUpkeep += 1;
    if (this.#sinceUpkeep >= this.#upkeepEvery && this.#upkeep === undefined) {
      this.#sinceUpkeep = 0;
      this.#upkeep = this.#keepUp().finally(() => (this.#upkeep = undefined));
    }
    return result;
  }

  async migrate(): Promise<void> {
    await this.#inTurn(async () => {
      const queries = drizzle(this.#client);
      await refuseNewerSchema(queries);
      await migrate(queries, { migrationsFolder: migrationsFolder(), ...MIGRATIONS_TABLE });
    });
  }

  async ping(): Promise<number> {
    const { rows } = await this.#inTurn(() => this.#client.query(SERVER_TIME));
    return serverMsIn(rows);
  }

  /** Nobody else has the folder, so only callers in this program can be in each other's way. */
  tryLock(name: LockName): Promise<HeldLock | undefined> {
    if (this.#held.has(name)) return Promise.resolve(undefined);
    const holder = Symbol(name);
    this.#held.set(name, holder);
    const isOurs = () => this.#closing === undefined && this.#held.get(name) === holder;
    return Promise.resolve({
      confirm: () => Promise.resolve(isOurs()),
      release: () => {
        if (isOurs()) this.#held.delete(name);
        return Promise.resolve();
      },
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Whatever has a turn or waits for one ends first; PGlite itself waits for the one that runs. */
  async #close(): Promise<void> {
    await this.#upkeep;
    try {
      await this.#client.close();
    } finally {
      await this.#directory.close();
    }
  }

  async #inTurn<T>(act: () => Promise<T>): Promise<T> {
    this.#refuseIfClosed();
    const giveBack = await this.#turns.take();
    try {
      this.#refuseIfClosed();
      return await act();
    } catch (error) {
      throw toDatabaseError(error);
    } finally {
      giveBack();
    }
  }

  #refuseIfClosed(): void {
    if (this.#closing !== undefined) throw new DatabaseError("unavailable", "database: closed");
  }

  /** Others have their turns between the steps. What fails here is tried again in the next round. */
  async #keepUp(): Promise<void> {
    try {
      const steps = await this.#inTurn(() => upkeepSteps(this.#client));
      for (const step of steps) await this.#inTurn(() => this.#client.exec(step));
    } catch {
      return;
    }
  }
}
