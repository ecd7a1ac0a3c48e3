/**
 * The folder in which PGlite keeps its data:
 *
 *     postgres/        the database; complete as soon as it has that name
 *     making-…/        one that is being made; left behind only by a killed process
 *     lock-….socket    of the process that holds the folder (folder-lock.ts)
 *
 * The holder of the lock may remove what earlier processes left behind. A new database is made
 * under another name, synced to disk and renamed, so that there is never an incomplete one.
 */
import { constants, existsSync, fsync as fsyncCallback } from "node:fs";
import { access, mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { isNativeError } from "node:util/types";

import { DatabaseError } from "./database.js";
import { isLockFile, lockFolder, type FolderLock } from "./folder-lock.js";

const DATABASE = "postgres";
const MAKING = "making-";
/** In the top folder of every PostgreSQL database. */
const MARK = "PG_VERSION";
const ONLY_OWNER = 0o700;
const SYNCED_AT_ONCE = 64;

export interface DataDirectory {
  /** Where the complete database is. */
  readonly database: string;
  /** Releases the folder. */
  close(): Promise<void>;
}

/** Syncs an open file to disk. */
export type Sync = (descriptor: number) => unknown;

const fsync = promisify(fsyncCallback);

/**
 * Locks the folder for this process; `make` makes a database in an empty folder if there is none
 * yet. Rejects with a DatabaseError: `in_use` or `data_folder`.
 */
export async function openDataDirectory(
  folder: string,
  make: (emptyFolder: string) => Promise<void>,
  sync: Sync = fsync,
): Promise<DataDirectory> {
  const path = resolve(folder);
  const lock = await claim(path);
  try {
    await removeLeftovers(path);
    const database = join(path, DATABASE);
    if (!existsSync(join(database, MARK))) {
      const making = await mkdtemp(join(path, MAKING));
      await make(making);
      await bringToDisk(making, sync);
      await rename(making, database);
      await syncPath(path, sync);
    }
    return { database, close: () => lock.release() };
  } catch (error) {
    await lock.release();
    throw unusable(path, error);
  }
}

async function claim(path: string): Promise<FolderLock> {
  let lock: FolderLock | undefined;
  try {
    await mkdir(path, { recursive: true, mode: ONLY_OWNER });
    await refuseForeignFolder(path);
    lock = await lockFolder(path);
  } catch (error) {
    throw unusable(path, error);
  }
  if (lock === undefined) {
    throw new DatabaseError(
      "in_use",
      `another process is using the data folder ${path}: only one instance can; for several, set SEKISHO_DATABASE_URL to a PostgreSQL server`,
    );
  }
  return lock;
}

async function refuseForeignFolder(path: string): Promise<void> {
  if (!(await stat(path)).isDirectory()) {
    throw new DatabaseError("data_folder", `${path} is not a folder`);
  }
  await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  const names = await readdir(path);
  if (names.includes(DATABASE)) {
    if (existsSync(join(path, DATABASE, MARK))) return;
    throw new DatabaseError(
      "data_folder",
      `"${DATABASE}" in the data folder ${path} is not a database: was it copied in part? Restore a complete copy, or remove it to start with an empty database`,
    );
  }
  const foreign = names.find((name) => !isOurs(name));
  if (foreign !== undefined) {
    throw new DatabaseError(
      "data_folder",
      `the folder ${path} holds other files ("${foreign}") and no database: set an empty folder, or one that does not exist yet`,
    );
  }
}

/** A mounted volume may contain lost+found and hidden files. */
function isOurs(name: string): boolean {
  return (
    isLockFile(name) || name.startsWith(MAKING) || name.startsWith(".") || name === "lost+found"
  );
}

async function removeLeftovers(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    const unfinished = name.startsWith(MAKING) || (isLockFile(name) && name.endsWith(".new"));
    if (unfinished) await rm(join(path, name), { recursive: true, force: true });
  }
}

/** The folder and everything in it: the contents must reach the disk before the final name does. */
async function bringToDisk(folder: string, sync: Sync): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = [folder, ...entries.map((entry) => join(entry.parentPath, entry.name))];
  // Several at once, because a disk syncs them together.
  while (paths.length > 0) {
    await Promise.all(paths.splice(0, SYNCED_AT_ONCE).map((path) => syncPath(path, sync)));
  }
}

async function syncPath(path: string, sync: Sync): Promise<void> {
  const file = await open(path, "r");
  try {
    await sync(file.fd);
  } finally {
    await file.close();
  }
}

function unusable(path: string, error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const why = isNativeError(error) ? error.message : String(error);
  return new DatabaseError("data_folder", `the data folder ${path} cannot be used: ${why}`, {
    cause: error,
  });
}
