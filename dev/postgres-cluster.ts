/** The files and processes of a private PostgreSQL server: how they are made and started. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { StartedProcess, describeExit } from "./child-process.js";
import type { OsUser } from "./child-process.js";

const run = promisify(execFile);

export const SUPERUSER = "postgres";
/** Only a part of the socket's name: every server has a folder of its own. */
export const PORT = 5432;
/** initdb takes about 0.5 s; much longer where eight of them run at the same time. */
const INITDB_TIMEOUT_MS = 60_000;
/** Recovery after a kill takes the longest. */
const START_TIMEOUT_MS = 30_000;
/** How long it may take to end before it is killed. */
export const STOP_TIMEOUT_MS = 10_000;

/** Small, quick to start, and alike everywhere. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  max_connections: "100",
  shared_buffers: "64MB",
  // Files in the data folder instead of shared memory that a kill would leave behind.
  dynamic_shared_memory_type: "mmap",
  wal_level: "minimal",
  max_wal_senders: "0",
  jit: "off",
};

export interface PostgresServerOptions {
  /**
   * Waits for the disk at each commit, as in production. Without it, a commit survives a kill of the
   * server, but not a crash of the machine. False if left out.
   */
  readonly fsync?: boolean;
  /**
   * Where it makes a folder for itself; the system's place for temporary files if left out. Where
   * root starts it, PostgreSQL's own user must be able to get there.
   */
  readonly inFolder?: string;
  /** Further settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** What does not change from one start to the next. */
export interface Installation {
  readonly folder: string;
  readonly programs: string;
  readonly user: OsUser | undefined;
  readonly options: PostgresServerOptions;
}

const dataFolder = ({ folder }: Installation) => join(folder, "data");

/** A process of one of its programs, as the user and with the environment that it needs. */
function startProgram(installation: Installation, name: string, args: readonly string[]) {
  const { folder, programs, user } = installation;
  return new StartedProcess({
    name,
    file: join(programs, name),
    args,
    // It must be able to enter the folder that it is started in. Settings by PG… do not reach it.
    cwd: folder,
    env: { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC" },
    ...(user === undefined ? {} : { user }),
  });
}

/** Makes the files of a cluster, with a superuser and nothing else. */
export async function initialise(installation: Installation): Promise<void> {
  const initdb = startProgram(installation, "initdb", [
    ...["--pgdata", dataFolder(installation), "--username", SUPERUSER],
    ...["--encoding", "UTF8", "--locale", "C"],
    // Only the server's own user and root can reach the socket.
    ...["--auth", "trust", "--no-sync", "--no-instructions"],
  ]);
  try {
    await initdb.waitFor(() => (initdb.running ? undefined : true), {
      what: "its end",
      timeoutMs: INITDB_TIMEOUT_MS,
    });
  } finally {
    await initdb.kill();
  }
  const exit = await initdb.exited;
  if (exit.code !== 0) throw initdb.failure(`could not make a cluster (${describeExit(exit)})`);
}

/** Starts the server and waits until it takes connections, after a crash until it has recovered. */
export async function launch(installation: Installation): Promise<StartedProcess> {
  const { folder, options } = installation;
  const settings = {
    ...SETTINGS,
    unix_socket_directories: folder,
    fsync: options.fsync === true ? "on" : "off",
    ...options.settings,
  };
  const started = startProgram(installation, "postgres", [
    ...["-D", dataFolder(installation), "-p", String(PORT)],
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ]);
  try {
    await started.waitForLine(
      (line) =>
        /database system is ready to accept (read-only )?connections/u.test(line) || undefined,
      { what: "it was ready", timeoutMs: START_TIMEOUT_MS },
    );
    return started;
  } catch (error) {
    await started.stop(STOP_TIMEOUT_MS, "SIGQUIT");
    throw error;
  }
}

/**
 * A server that was killed leaves the System V segment behind by which it made sure that it was the
 * only one in its folder. A few bytes, but a system has room for only so many segments.
 */
export async function releaseSharedMemory(installation: Installation): Promise<void> {
  const text = await readFile(join(dataFolder(installation), "postmaster.pid"), "utf8").catch(
    () => "",
  );
  // The seventh line: key and id.
  const id = text.split("\n")[6]?.trim().split(/\s+/)[1];
  // No ipcrm, or the segment has gone: nothing can be done.
  if (id !== undefined) await run("ipcrm", ["-m", id]).catch(() => undefined);
}
