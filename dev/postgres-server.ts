/**
 * A private PostgreSQL for tests and benchmark.
 *
 * It listens on a Unix socket only, in a temporary folder that only its user can enter; so it needs
 * no passwords. Programs connect as `sekisho`, an ordinary role, because a superuser is exempt from
 * row security and from much else that is to be tested.
 */
import { chown, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Client, escapeIdentifier } from "pg";
import type { QueryResultRow } from "pg";

import type { Exit, StartedProcess } from "./child-process.js";
import {
  PORT,
  STOP_TIMEOUT_MS,
  SUPERUSER,
  initialise,
  launch,
  releaseSharedMemory,
} from "./postgres-cluster.js";
import type { Installation, PostgresServerOptions } from "./postgres-cluster.js";
import { findPostgresPrograms, findPostgresUser } from "./postgres-programs.js";
import { childrenOf } from "./process-children.js";

/** The role of Sekisho's programs: may create roles and owns its databases, nothing more. */
export const SERVICE_ROLE = "sekisho";
/** Where connections go that are about no particular database. */
const MAINTENANCE_DATABASE = "postgres";

const CONNECT_TIMEOUT_MS = 10_000;
/** Bounds the administrator's queries, for example while the server is paused. */
const QUERY_TIMEOUT_MS = 30_000;

export interface QueryOptions {
  readonly values?: readonly unknown[];
  /** Where it is asked; in the database `postgres` if left out. */
  readonly database?: string;
}

export class PostgresServer {
  readonly #installation: Installation;
  #process: StartedProcess;
  #databases = 0;
  /** The processes that are paused, the server's own first. */
  #paused: readonly number[] = [];
  readonly #killPaused = () => signalAll(this.#paused, "SIGKILL");

  private constructor(installation: Installation, started: StartedProcess) {
    this.#installation = installation;
    this.#process = started;
  }

  /** Makes a server with the role `sekisho` and starts it; takes about a second. */
  static async start(options: PostgresServerOptions = {}): Promise<PostgresServer> {
    const programs = findPostgresPrograms();
    const user = await findPostgresUser();
    // Short, because the path of a Unix socket may have 107 bytes.
    const folder = await mkdtemp(join(options.inFolder ?? tmpdir(), "sekisho-pg-"));
    const installation = { folder, programs, user, options };
    try {
      if (user !== undefined) await chown(folder, user.uid, user.gid);
      await initialise(installation);
      const server = new PostgresServer(installation, await launch(installation));
      try {
        await server.query(`CREATE ROLE ${SERVICE_ROLE} LOGIN CREATEROLE`);
        return server;
      } catch (error) {
        await server.#process.stop(STOP_TIMEOUT_MS, "SIGQUIT");
        throw error;
      }
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The folder of its data and its socket. */
  get folder(): string {
    return this.#installation.folder;
  }

  get lines(): readonly string[] {
    return this.#process.lines;
  }

  /**
   * Where a database is, as `sekisho` or another role. The host before the path is there for those
   * that want one in a URL: the parameter, a folder, is what counts.
   */
  url(database: string, role = SERVICE_ROLE): string {
    const [name, user] = [database, role].map(encodeURIComponent);
    const host = encodeURIComponent(this.#installation.folder);
    return `postgres://${user}@localhost:${PORT}/${name}?host=${host}`;
  }

  /** Makes an empty database that `sekisho` owns, and returns its URL. */
  async createDatabase(name = `test_${++this.#databases}`): Promise<string> {
    await this.query(`CREATE DATABASE ${escapeIdentifier(name)} OWNER ${SERVICE_ROLE}`);
    return this.url(name);
  }

  /** Asks one thing as the superuser, on a connection of its own. */
  async query<Row extends QueryResultRow = Record<string, unknown>>(
    sql: string,
    { values = [], database = MAINTENANCE_DATABASE }: QueryOptions = {},
  ): Promise<readonly Row[]> {
    const client = new Client({
      connectionString: this.url(database, SUPERUSER),
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
    });
    // The query rejects with what goes wrong; a connection lost after it does not matter.
    client.on("error", () => undefined);
    try {
      await client.connect();
      return (await client.query<Row>(sql, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  /** Suspends all its processes: connections stay open, but it does not answer. */
  pause(): void {
    const { pid, running } = this.#process;
    if (pid === undefined || !running || this.#paused.length > 0) return;
    this.#process.pause();
    // It starts no others and collects none from now on, so this list stays true.
    this.#paused = [pid, ...childrenOf(pid)];
    signalAll(this.#paused, "SIGSTOP");
    // A process that is stopped does not notice that its parent has gone.
    process.once("exit", this.#killPaused);
  }

  resume(): void {
    signalAll(this.#paused, "SIGCONT");
    this.#forgetPaused();
  }

  /** Ends all its processes without asking, as a crash would; its data stay. */
  async kill(): Promise<Exit> {
    this.pause();
    this.#killPaused();
    this.#forgetPaused();
    return this.#process.exited;
  }

  /** Asks it to end, which ends all connections; its data stay. */
  async stop(): Promise<Exit> {
    this.resume();
    return this.#process.stop(STOP_TIMEOUT_MS, "SIGINT");
  }

  /** Ends it if it runs and starts it again in the same place with its data. */
  async restart(): Promise<void> {
    await this.stop();
    this.#process = await launch(this.#installation);
  }

  /** Ends it and removes everything of it. */
  async close(): Promise<void> {
    this.resume();
    // Nothing of it is needed any more, so it is not given the time to save.
    await this.#process.stop(STOP_TIMEOUT_MS, "SIGQUIT");
    await releaseSharedMemory(this.#installation);
    await rm(this.#installation.folder, { recursive: true, force: true });
  }

  #forgetPaused(): void {
    this.#paused = [];
    process.removeListener("exit", this.#killPaused);
  }
}

/** One that has ended needs no signal. */
function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      continue;
    }
  }
}
