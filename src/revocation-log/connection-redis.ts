/**
 * One connection to Redis that is never mended: no retries, no queue while offline, no replay. Who
 * uses it decides what a lost connection means, and opens another one.
 */
import { Redis, type RedisOptions } from "ioredis";
import { toLogError } from "./error-redis.js";
import { RevocationLogError } from "./revocation-log.js";

/** How long opening a connection may take, with TLS and authentication. */
const CONNECT_TIMEOUT_MS = 2000;

const OPTIONS = {
  lazyConnect: true,
  protocol: 2,
  retryStrategy: null,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  disableClientInfo: true,
  connectTimeout: CONNECT_TIMEOUT_MS,
  keepAlive: 10_000,
  noDelay: true,
} satisfies RedisOptions;

export interface RedisConnection {
  readonly client: Redis;
  /**
   * The settled command, or a `RevocationLogError` once `withinMs` have passed or anything failed.
   * A connection with a command that did not settle in time is closed: its replies can no longer
   * be told apart.
   */
  within<T>(withinMs: number, what: string, command: Promise<T>): Promise<T>;
  close(): void;
}

export type OpenRedisConnection = () => Promise<RedisConnection>;

/** How connections to the server at `url` (`redis://` or `rediss://`) are opened. */
export function redisConnections(url: string): OpenRedisConnection {
  return () => open(url);
}

async function open(url: string): Promise<RedisConnection> {
  const client = new Redis(url, OPTIONS);
  // What the client says beside the commands, such as a refused password; the commands themselves
  // only learn that the connection was closed.
  let said: Error | undefined;
  client.on("error", (error: Error) => {
    said ??= error;
  });
  const run = async <T>(withinMs: number, what: string, command: Promise<T>): Promise<T> => {
    try {
      return await within(client, withinMs, what, command);
    } catch (error) {
      const lost = error instanceof Error && error.name === "AbortError";
      throw toLogError(what, lost || client.status !== "ready" ? (said ?? error) : error);
    }
  };
  try {
    await run(CONNECT_TIMEOUT_MS + 500, "connect", client.connect());
    return { client, within: run, close: () => disconnect(client) };
  } catch (error) {
    disconnect(client);
    throw error;
  }
}

/** The settled command, or a RevocationLogError and a closed connection once `withinMs` passed. */
async function within<T>(
  client: Redis,
  withinMs: number,
  what: string,
  command: Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new RevocationLogError("unavailable", `no answer to ${what} within ${withinMs} ms`));
      disconnect(client);
    }, withinMs);
  });
  try {
    return await Promise.race([command, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const disconnecting = new WeakSet<Redis>();

/**
 * Once: many commands may time out together. A client that has ended by itself would only start a
 * timer that holds up the program's end.
 */
function disconnect(client: Redis): void {
  if (client.status === "end" || disconnecting.has(client)) return;
  disconnecting.add(client);
  client.disconnect();
}
