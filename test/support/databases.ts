/**
 * Both databases, for tests that must pass on either:
 *
 *     describe.each(DATABASES)("sessions on $name", ({ start }) => {
 *       let started: StartedDatabase;
 *       beforeAll(async () => { started = await start(); });
 *       afterAll(async () => { await started.stop(); });
 *
 * A start takes about a second, so a test file starts each once and gives every test a tenant of
 * its own.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { PostgresServer } from "../../dev/postgres-server.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPglite } from "../../src/sessions/database/database-pglite.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { copyPgliteTemplate } from "./pglite-template.js";

export interface StartedDatabase {
  /** Migrated and empty at the start; another object after `reopen`. */
  readonly database: Database;
  /** Closes it and opens it again with its data, as a restart of the program would. */
  reopen(): Promise<Database>;
  /** Closes it and removes everything. */
  stop(): Promise<void>;
}

export interface TestedDatabase {
  readonly name: "PGlite" | "PostgreSQL";
  readonly start: () => Promise<StartedDatabase>;
}

/** Connections that a program may have in tests; enough for a few transactions to race. */
export const TEST_POOL_MAX = 10;
/** Tests let more race than there are connections, on machines that may stand still for seconds. */
const TEST_CONNECT_MS = 60_000;

/** A machine that stands still for a moment is not to be mistaken for a database that is in use. */
const PATIENT_TURNS = { waitingMax: 256, waitMaxMs: 30_000 };

export const DATABASES: readonly TestedDatabase[] = [
  { name: "PGlite", start: startPglite },
  { name: "PostgreSQL", start: startPostgres },
];

export async function startPglite(): Promise<StartedDatabase> {
  const parent = await mkdtemp(join(tmpdir(), "sekisho-pglite-"));
  const removeAll = () => rm(parent, { recursive: true, force: true });
  try {
    const folder = join(parent, "data");
    await copyPgliteTemplate(folder);
    // As for PostgreSQL's test servers: no test cuts the power, and a busy disk takes its time.
    const open = () => openPglite(folder, { sync: () => undefined, turns: PATIENT_TURNS });
    return new Opened(await open(), open, removeAll);
  } catch (error) {
    await removeAll();
    throw error;
  }
}

async function startPostgres(): Promise<StartedDatabase> {
  const server = await PostgresServer.start();
  try {
    const url = await server.createDatabase();
    const open = () =>
      openPostgres({ url, poolMax: TEST_POOL_MAX, connectTimeoutMs: TEST_CONNECT_MS });
    const database = open();
    try {
      await database.migrate();
    } catch (error) {
      await database.close();
      throw error;
    }
    return new Opened(
      database,
      () => Promise.resolve(open()),
      () => server.close(),
    );
  } catch (error) {
    await server.close();
    throw error;
  }
}

class Opened implements StartedDatabase {
  database: Database;
  readonly #open: () => Promise<Database>;
  readonly #removeAll: () => Promise<void>;

  constructor(database: Database, open: () => Promise<Database>, removeAll: () => Promise<void>) {
    this.database = database;
    this.#open = open;
    this.#removeAll = removeAll;
  }

  async reopen(): Promise<Database> {
    await this.database.close();
    this.database = await this.#open();
    return this.database;
  }

  async stop(): Promise<void> {
    await this.database.close();
    await this.#removeAll();
  }
}
