/**
 * One connection to Redis, reused by successive calls and shared by concurrent ones. It is never
 * reconnected: after any failure it is closed, and the next call opens another one.
 *
 * A connection leads to one server process for as long as it lives, so the process's run id is read
 * once, when it is opened.
 */
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import { toLogError } from "./error-redis.js";
import { assertIdentified, serverIn } from "./server-info-redis.js";

const INFO_TIMEOUT_MS = 1000;

export interface SharedServer {
  readonly connection: RedisConnection;
  /** Names the server process. */
  readonly runId: string;
}

export class SharedConnection {
  readonly #open: OpenRedisConnection;
  #opening: Promise<SharedServer> | undefined;
  #opened: SharedServer | undefined;

  constructor(open: OpenRedisConnection) {
    this.#open = open;
  }

  /**
   * Runs `work` on the connection. If anything fails in it, rejects with a RevocationLogError and
   * closes the connection: a late reply could be taken for another's.
   */
  async use<T>(what: string, work: (server: SharedServer) => Promise<T>): Promise<T> {
    if (this.#opened !== undefined && this.#opened.connection.client.status !== "ready") {
      this.close();
    }
    const opening = (this.#opening ??= this.#connect());
    try {
      const server = await opening;
      if (this.#opening === opening) this.#opened = server;
      return await work(server);
    } catch (error) {
      // After another call's failure there may already be a new connection: leave that one open.
      if (this.#opening === opening) this.close();
      throw toLogError(what, error);
    }
  }

  close(): void {
    const opening = this.#opening;
    this.#opening = undefined;
    this.#opened = undefined;
    opening?.then(
      ({ connection }) => connection.close(),
      () => undefined,
    );
  }

  async #connect(): Promise<SharedServer> {
    const connection = await this.#open();
    try {
      const { client } = connection;
      const asked = Promise.all([client.info("server"), client.info("replication")]);
      const [server, replication] = await connection.within(INFO_TIMEOUT_MS, "INFO", asked);
      const address = connection.address;
      return { connection, ...assertIdentified(serverIn(server, replication, address)) };
    } catch (error) {
      connection.close();
      throw error;
    }
  }
}
