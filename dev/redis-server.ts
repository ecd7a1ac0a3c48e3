import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { StartedProcess } from "./child-process.js";
import type { Exit } from "./child-process.js";
import { takeFreePort } from "./free-port.js";

/** Time until it must answer PING; reading a large append-only file takes the longest. */
const START_TIMEOUT_MS = 60_000;
/** One PING; a paused server accepts the connection and never answers. */
const PING_TIMEOUT_MS = 500;
/** How often a start is tried when another process takes the free port first. */
const PORT_ATTEMPTS_MAX = 5;

export interface RedisServerOptions {
  /** Keeps every write on disk before it is answered, so that a restart has its data. */
  readonly appendonly?: boolean;
  /** Further arguments of redis-server, such as `--replicaof`. */
  readonly args?: readonly string[];
  /** Arguments with ports of their own, taken anew when another process takes one first. */
  readonly portArgs?: () => Promise<readonly string[]>;
  /** Where it makes a folder for itself; the system's place for temporary files if left out. */
  readonly inFolder?: string;
  /** A port of the caller's choice. */
  readonly port?: number;
}

/** A private redis-server on the loopback interface, with a temporary folder of its own. */
export class RedisServer {
  readonly port: number;
  readonly #folder: string;
  readonly #options: RedisServerOptions;
  #process: StartedProcess;

  private constructor(
    started: StartedProcess,
    place: { folder: string; port: number },
    options: RedisServerOptions,
  ) {
    this.#process = started;
    this.#folder = place.folder;
    this.port = place.port;
    this.#options = options;
  }

  /** Starts a server and waits until it answers. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const folder = await mkdtemp(join(options.inFolder ?? tmpdir(), "sekisho-redis-"));
    try {
      for (let attempt = 1; ; attempt++) {
        const place = { folder, port: options.port ?? (await takeFreePort()) };
        const args = [...(options.args ?? []), ...((await options.portArgs?.()) ?? [])];
        const chosen = { ...options, args };
        try {
          return new RedisServer(await launch(place, chosen), place, chosen);
        } catch (error) {
          const taken = error instanceof Error && /already in use/iu.test(error.message);
          if (!taken || options.port !== undefined || attempt === PORT_ATTEMPTS_MAX) throw error;
        }
      }
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get lines(): readonly string[] {
    return this.#process.lines;
  }

  /** Asks it to end; its data stay for a restart if it is append-only. */
  async stop(): Promise<Exit> {
    return this.#process.stop();
  }

  async kill(): Promise<Exit> {
    return this.#process.kill();
  }

  pause(): void {
    this.#process.pause();
  }

  resume(): void {
    this.#process.resume();
  }

  /** Ends it if it runs and starts it again on the same port, with its data or `empty`. */
  async restart(options: { readonly empty?: boolean } = {}): Promise<void> {
    await this.#process.stop();
    if (options.empty === true) {
      await rm(this.#folder, { recursive: true, force: true });
      await mkdir(this.#folder);
    }
    this.#process = await launch({ folder: this.#folder, port: this.port }, this.#options);
  }

  /** Ends it and removes its folder. */
  async close(): Promise<void> {
    // Nothing of it is needed any more, so it is not given the time to save.
    await this.#process.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function launch(
  place: { folder: string; port: number },
  options: RedisServerOptions,
): Promise<StartedProcess> {
  const started = new StartedProcess({
    name: `redis-server on port ${place.port}`,
    file: "redis-server",
    args: [
      ...["--bind", "127.0.0.1", "--port", String(place.port), "--dir", place.folder],
      ...["--daemonize", "no", "--save", "", "--maxmemory-policy", "noeviction"],
      ...(options.appendonly === true ? ["--appendonly", "yes", "--appendfsync", "always"] : []),
      ...(options.args ?? []),
    ],
  });
  try {
    await started.waitFor(async () => ((await answersPing(place.port)) ? true : undefined), {
      what: "its first answer to PING",
      timeoutMs: START_TIMEOUT_MS,
    });
    // If another server answered on that port, ours is about to end.
    await started.waitForLine((line) => /ready to accept connections/iu.test(line) || undefined, {
      what: "it was ready",
      timeoutMs: START_TIMEOUT_MS,
    });
    return started;
  } catch (error) {
    await started.kill();
    throw error;
  }
}

/** Whether a server on that port answers PING with PONG; one that is still loading does not. */
export async function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const answer = (isPong: boolean) => {
      socket.destroy();
      resolve(isPong);
    };
    socket.setTimeout(PING_TIMEOUT_MS, () => answer(false));
    socket.once("error", () => answer(false));
    socket.once("connect", () => socket.write("PING\r\n"));
    // With the default user off, NOAUTH is an answer too.
    socket.once("data", (data) => answer(/^(\+PONG|-NOAUTH)/u.test(data.toString("latin1"))));
  });
}
