/**
 * PGlite: PostgreSQL inside this process, in a folder. One process at a time, and one transaction
 * at a time in it; the others queue.
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
import { BoundedQueue, type QueueBounds, type QueueRefusal } from "../../runtime/bounded-queue.js";
import { MAINTENANCE_EVERY, maintenanceSteps } from "./maintenance-pglite.js";

/** As long as PostgreSQL's pool lets callers wait; a transaction takes about a millisecond. */
const QUEUE_BOUNDS = { queueMax: 256, waitMaxMs: 2000 };

/** Lines of PostgreSQL's stderr that explain why it does not open. */
const STDERR_LINES_KEPT = 3;

export interface PgliteOptions {
  /** For transactions, which run one after the other. */
  readonly queue?: Omit<QueueBounds, "concurrency">;
  readonly maintenanceEvery?: number;
  /** Syncs an open file to disk; fsync if left out. */
  readonly sync?: (descriptor: number) => void;
}

/** Opens the database in `folder`, making it if it is not there. Rejects with a DatabaseError. */
export async function openPglite(folder: string, options: PgliteOptions = {}): Promise<Database> {
  const directory = await openDataDirectory(folder, makeDatabase, options.sync);
  /** PostgreSQL's stderr while it opens; undefined afterwards. */
  let stderrLines: string[] | undefined = [];
  try {
    // Left by a killed process. We hold the folder's lock, so no other server runs here, whatever
    // the file says; an incomplete one would keep PostgreSQL from starting.
    await rm(join(directory.database, "postmaster.pid"), { force: true });
    const client = await PGlite.create({
      fs: new SyncedFolder(directory.database, options.sync),
      startParams: [...SYNCING_PARAMETERS],
      onStderr: (text) => {
        stderrLines = stderrLines?.concat(text).slice(-STDERR_LINES_KEPT);
        return false;
      },
    });
    stderrLines = undefined;
    return new PgliteDatabase(client, directory, options);
  } catch (error) {
    await directory.close();
    const reason = isNativeError(error) ? error.message : String(error);
    const why = [reason, ...(stderrLines ?? [])].join(": ");
    throw new DatabaseError(
      "data_folder",
      `the database in ${directory.database} cannot be opened: ${why}`,
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
  readonly #queue: BoundedQueue;
  readonly #maintenanceEvery: number;
  /** The current holder of each lock. */
  readonly #held = new Map<LockName, symbol>();
  #sinceMaintenance = 0;
  #maintenance: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(client: PGlite, directory: DataDirectory, options: PgliteOptions) {
    this.#client = client;
    this.#directory = directory;
    const bounds = { concurrency: 1, ...(options.queue ?? QUEUE_BOUNDS) };
    this.#queue = new BoundedQueue(bounds, (why) => refusal(why, bounds));
    this.#maintenanceEvery = options.maintenanceEvery ?? MAINTENANCE_EVERY;
  }

  get pool(): PoolCounts {
    const { running: inUse, queued: waiting } = this.#queue;
    return { max: 1, inUse, idle: 1 - inUse, waiting };
  }

  async transaction<T>(scope: Scope, work: (queries: Queries) => Promise<T>): Promise<T> {
    const result = await this.#inTurn(() =>
      drizzle(this.#client).transaction(async (transaction) => {
        await takeScope(transaction, scope);
        return work(transaction);
      }),
    );
    this.#sinceMaintenance += 1;
    if (this.#sinceMaintenance >= this.#maintenanceEvery && this.#maintenance === undefined) {
      this.#sinceMaintenance = 0;
      this.#maintenance = this.#maintain().finally(() => (this.#maintenance = undefined));
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

  /** No other process has the folder, so only callers in this one can compete for a lock. */
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

  async #close(): Promise<void> {
    await this.#queue.close();
    await this.#maintenance;
    try {
      await this.#client.close();
    } finally {
      await this.#directory.close();
    }
  }

  async #inTurn<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await this.#queue.run(act);
    } catch (error) {
      throw toDatabaseError(error);
    }
  }

  /** Other transactions run between the steps. A failed round is repeated by the next. */
  async #maintain(): Promise<void> {
    try {
      const steps = await this.#inTurn(() => maintenanceSteps(this.#client));
      for (const step of steps) await this.#inTurn(() => this.#client.exec(step));
    } catch {
      return;
    }
  }
}

function refusal(why: QueueRefusal, { queueMax, waitMaxMs }: QueueBounds): DatabaseError {
  const message = {
    full: `the queue is full (${queueMax} transactions)`,
    timeout: `no turn within ${waitMaxMs} ms`,
    closed: "closed",
  }[why];
  return new DatabaseError("unavailable", `database: ${message}`);
}
