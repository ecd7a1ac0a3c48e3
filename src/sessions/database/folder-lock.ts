/**
 * Makes sure that one program at a time has a folder.
 *
 * Whoever wants it listens on a Unix socket of its own in the folder, under a name that is never
 * used again, and only then looks at all the others' sockets. Is one of them alive, that is, does
 * it accept a connection, then this program withdraws its own socket and tries again a little later,
 * a few times; else the folder is its own for as long as its socket lives.
 *
 * - Two cannot have it: of two, one looks later, and by then the other one's socket is there.
 *   Two that look at the same time see each other, and both withdraw; they wait for random times.
 * - A socket gets the name by which it is looked for once it accepts connections (`.new` before), so
 *   one that refuses them is a dead program's, and its file can be removed whoever does so.
 * - The kernel closes the socket of a program that ends, also by SIGKILL, at that moment. A program
 *   that hangs or is stopped still has the folder: connections are accepted by the kernel.
 *
 * A socket's file is found by all containers of a machine that share the folder, which is not so
 * with Linux's abstract sockets; a file with a process id in it would outlive its program, and Node
 * has no flock. It does not protect a folder that several machines (or virtual machines) share over
 * a network: PGlite's folder belongs on a local disk.
 */
import { randomBytes, randomInt } from "node:crypto";
import { closeSync, constants, existsSync, openSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How often it is tried: time for another one that withdraws, or that is just ending. */
const ATTEMPTS_MAX = 8;
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 120;
/** Connecting to a socket on the same machine needs nobody's help, so this is never used up. */
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

/** Undefined where another program has the folder. Rejects where no socket can be made in it. */
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

  /** Undefined where the one that has the folder has just tidied it. */
  static async listen(path: string): Promise<OwnSocket | undefined> {
    const folder = new OpenFolder(path);
    const id = `${PREFIX}${randomBytes(12).toString("hex")}`;
    const server = createServer((socket) => socket.destroy());
    // A lock alone is no reason to go on running.
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
 * The path of a socket has room for about a hundred bytes, that of a folder may be longer. On Linux
 * an open folder has a short path, too.
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

/** Removes what the dead have left, as far as it has looked. */
async function isAnyAlive({ folder, name: ownName }: OwnSocket): Promise<boolean> {
  for (const name of await folder.names()) {
    if (name === ownName || !name.startsWith(PREFIX) || !name.endsWith(LISTENING)) continue;
    const found = await look(folder.short(name));
    if (found === "alive") return true;
    if (found === "dead") await rm(folder.long(name), { force: true });
  }
  return false;
}

/** What neither accepts nor clearly refuses counts as alive. */
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
