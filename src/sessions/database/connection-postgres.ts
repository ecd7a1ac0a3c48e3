/**
 * Connections to PostgreSQL: how they are made, and how they are closed even if the server hangs.
 */
import { Socket } from "node:net";
import { Client, type ClientConfig } from "pg";
import { withTimeout } from "../../runtime/with-timeout.js";

/** For a free connection of the pool, and for making one. */
export const CONNECT_TIMEOUT_MS = 2000;
/** A healthy server closes sooner after the Terminate message; a hanging one is not waited for. */
const END_TIMEOUT_MS = 1000;

/**
 * Makes the sockets of connections, and destroys those that do not close by themselves:
 * node-postgres waits for the server's side without limit.
 */
export class Sockets {
  readonly #open = new Set<Socket>();

  readonly make = (): Socket => {
    const socket = new Socket();
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    return socket;
  };

  /** Waits for `end`, for END_TIMEOUT_MS at most; then destroys every open socket. */
  async closeAfter(end: Promise<unknown>): Promise<void> {
    const timeout = () => new Error(`not ended within ${END_TIMEOUT_MS} ms`);
    await withTimeout(end, END_TIMEOUT_MS, timeout).catch(() => undefined);
    for (const socket of this.#open) socket.destroy();
  }
}

export function connectionConfig(
  url: string,
  connectionTimeoutMillis = CONNECT_TIMEOUT_MS,
): ClientConfig {
  return {
    connectionString: url,
    application_name: "sekisho",
    connectionTimeoutMillis,
    keepAlive: true,
  };
}

/** One connection beside the pool. */
export class OwnConnection {
  readonly client: Client;
  readonly #sockets = new Sockets();
  #lost = false;

  constructor(config: ClientConfig) {
    this.client = new Client({ ...config, stream: this.#sockets.make });
    this.client.on("error", () => (this.#lost = true));
    this.client.on("end", () => (this.#lost = true));
  }

  /** Whether the connection is known to have ended. */
  get lost(): boolean {
    return this.#lost;
  }

  async end(): Promise<void> {
    await this.#sockets.closeAfter(this.client.end());
  }
}
