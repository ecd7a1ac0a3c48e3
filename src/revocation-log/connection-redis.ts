/**
 * One connection to Redis that is never reconnected: no retries, no offline queue, no replay. The
 * caller decides what a lost connection means, and opens another one.
 */
import { Redis, type RedisOptions } from "ioredis";
import { withTimeout } from "../runtime/with-timeout.js";
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
   * The settled command, or a `RevocationLogError` after `withinMs` or any failure. If the command
   * does not settle in time, the connection is closed: a late reply could be taken for another's.
   */
  within<T>(withinMs: number, what: string, command: Promise<T>): Promise<T>;
  close(): void;
}

export type OpenRedisConnection = () => Promise<RedisConnection>;

/** Opens connections to the server at `url` (`redis://` or `rediss://`). */
export function redisConnections(url: string): OpenRedisConnection {
  return () => open(url);
}

async function open(url: string): Promise<RedisConnection> {
  const client = new Redis(url, OPTIONS);
  // Some causes, such as a refused password, arrive only here: the commands themselves reject with
  // "connection closed".
  let connectionError: Error | undefined;
  client.on("error", (error: Error) => {
    connectionError ??= error;
  });
  const run = async <T>(withinMs: number, what: string, command: Promise<T>): Promise<T> => {
    try {
      return await withTimeout(command, withinMs, () => {
        disconnect(client);
        return new RevocationLogError("unavailable", `no answer to ${what} within ${withinMs} ms`);
      });
    } catch (error) {
      const aborted = error instanceof Error && error.name === "AbortError";
      const lost = aborted || client.status !== "ready";
      throw toLogError(what, lost ? (connectionError ?? error) : error);
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

const disconnecting = new WeakSet<Redis>();

/**
 * Only once, because many commands may time out together. A client that has already ended would
 * start a timer that delays the program's exit.
 */
function disconnect(client: Redis): void {
  if (client.status === "end" || disconnecting.has(client)) return;
  disconnecting.add(client);
  client.disconnect();
}
