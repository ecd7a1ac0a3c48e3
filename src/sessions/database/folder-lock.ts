/**
 * Ensures that only one process at a time uses a folder.
 *
 * A process listens on a Unix socket of its own in the folder, under a name that is never reused,
 * and only then probes all other sockets. If one of them accepts a connection, its owner is alive:
 * this process removes its own socket and tries again a little later, a few times. Otherwise it
 * holds the folder for as long as its socket lives.
 *
 * - Two processes cannot both hold it: of two, one probes later, and by then the other's socket
 *   exists. Two that probe at the same time see each other and both withdraw, for random times.
 * - A socket gets its final name only once it accepts connections (`.new` before), so one that
 *   refuses them belongs to a dead process, and any process may remove its file.
 * - The kernel closes a process's socket as soon as it ends, also by SIGKILL. A process that hangs
 *   or is stopped still holds the folder, because the kernel accepts connections for it.
 *
 * All containers on a machine that share the folder see a socket's file, unlike Linux's abstract
 * sockets; a file with a process id would outlive its process, and Node has no flock. This does not
 * protect a folder that several machines (or virtual machines) share over a network: PGlite's
 * folder belongs on a local disk.
 */
import { randomBytes, randomInt } from "node:crypto";
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Time for another process to withdraw, or to finish ending. */
const ATTEMPTS_MAX = 8;
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 120;
/** The local kernel accepts or refuses by itself, so this should never be reached. */
const LOOK_TIMEOUT_MS = 1000;

const PREFIX = "lock-";
const LISTENING = ".socket";
const NOT_YET = ".new";

export interface FolderLock {
  release(): Promise<void>;
}

/** Whether a file of that name is one of this lock's. */
export function isLockFile(name: string): boolean {
  return name.startsWith(PREFIX) && (name.endsWith(LISTENING) || name.endsWith(NOT_YET));
}

/** Undefined if another process holds the folder. Rejects if no socket can be made in it. */
export async function lockFolder(folder: string): Promise<FolderLock | undefined> {
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    const own = await OwnSocket.listen(folder);
    if (own !== undefined) {
      try {
        if (!(await isAnyAlive(own))) return own;
      } catch (error) {
        await own.release();
        throw error;
      }
      await own.release();
    }
    if (attempt < ATTEMPTS_MAX) await delay(randomInt(PAUSE_MIN_MS, PAUSE_MAX_MS));
  }
  return undefined;
}

class OwnSocket implements FolderLock {
  readonly folder: OpenFolder;
  readonly name: string;
  readonly #server: Server;

  private constructor(folder: OpenFolder, name: string, server: Server) {
    this.folder = folder;
    this.name = name;
    this.#server = server;
  }

  /** Undefined if the holder of the folder has just cleaned it up. */
  static async listen(path: string): Promise<OwnSocket | undefined> {
    const folder = new OpenFolder(path);
    const id = `${PREFIX}${randomBytes(12).toString("hex")}`;
    const server = createServer((socket) => socket.destroy());
    // The lock alone must not keep the process running.
    server.unref();
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(folder.short(`${id}${NOT_YET}`), resolve);
      });
    } catch (error) {
      folder.close();
      throw error;
    }
    const own = new OwnSocket(folder, `${id}${LISTENING}`, server);
    try {
      await rename(folder.long(`${id}${NOT_YET}`), folder.long(own.name));
      return own;
    } catch (error) {
      const tidied = !existsSync(folder.long(`${id}${NOT_YET}`));
      await own.release();
      if (tidied) return undefined;
      throw error;
    }
  }

  async release(): Promise<void> {
    await rm(this.folder.long(this.name), { force: true });
    await new Promise((resolve) => this.#server.close(resolve));
    this.folder.close();
  }
}

/**
 * A socket's path is limited to about a hundred bytes, and a folder's path may be longer. On Linux
 * an open folder also has a short path.
 */
class OpenFolder {
  readonly #path: string;
  readonly #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
    const short = process.platform === "linux" && existsSync("/proc/self/fd");
    this.#descriptor = short ? openSync(path, constants.O_DIRECTORY) : undefined;
  }

  long(name: string): string {
    return `${this.#path}/${name}`;
  }

  short(name: string): string {
    const descriptor = this.#descriptor;
    return descriptor === undefined ? this.long(name) : `/proc/self/fd/${descriptor}/${name}`;
  }

  async names(): Promise<readonly string[]> {
    return readdir(this.#path);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }
}

/** Also removes the sockets of dead processes that it comes across. */
async function isAnyAlive({ folder, name: ownName }: OwnSocket): Promise<boolean> {
  for (const name of await folder.names()) {
    if (name === ownName || !name.startsWith(PREFIX) || !name.endsWith(LISTENING)) continue;
    const found = await look(folder.short(name));
    if (found === "alive") return true;
    if (found === "dead") await rm(folder.long(name), { force: true });
  }
  return false;
}

/** A socket that neither accepts nor clearly refuses counts as alive. */
async function look(path: string): Promise<"alive" | "dead" | "gone"> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const answer = (found: "alive" | "dead" | "gone") => {
      socket.destroy();
      resolve(found);
    };
    socket.setTimeout(LOOK_TIMEOUT_MS, () => answer("alive"));
    socket.once("connect", () => answer("alive"));
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") answer("dead");
      else answer(error.code === "ENOENT" ? "gone" : "alive");
    });
  });
}
