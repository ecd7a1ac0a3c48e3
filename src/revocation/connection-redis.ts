/**
 * One connection to Redis that is never mended: no retries, no queue while offline, no replay. Who
 * uses it decides what a lost connection means, and opens another one.
 */
import { Redis, type RedisOptions } from "ioredis";
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

/** What a server that cannot serve just now answers: the first word of the error (Redis). */
const PASSING = new Set([
  "LOADING",
  "NOREPLICAS",
  "MISCONF",
  "OOM",
  "BUSY",
  "TRYAGAIN",
  "CLUSTERDOWN",
  "MASTERDOWN",
  "NOAUTH",
  "WRONGPASS",
  "NOPERM",
]);

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
  let lastError: Error | undefined;
  client.on("error", (error: Error) => {
    lastError = error;
  });
  const connection: RedisConnection = {
    client,
    within: (withinMs, what, command) => within(client, withinMs, what, command),
    close: () => disconnect(client),
  };
  try {
    await connection.within(CONNECT_TIMEOUT_MS + 500, "connect", client.connect());
    return connection;
  } catch (error) {
    disconnect(client);
    const cause = lastError ?? error;
    throw new RevocationLogError("unavailable", `cannot connect: ${messageOf(cause)}`, cause);
  }
}

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
  } catch (error) {
    throw toLogError(what, error);
  } finally {
    clearTimeout(timer);
  }
}

/** A client that has ended by itself would only start a timer that holds up the program's end. */
function disconnect(client: Redis): void {
  if (client.status !== "end") client.disconnect();
}

/** The one conversion of what ioredis throws. Redis names its errors by their first word. */
export function toLogError(what: string, error: unknown): RevocationLogError {
  if (error instanceof RevocationLogError) return error;
  const message = `${what}: ${messageOf(error)}`;
  const word = /^[A-Z]+(?= |$)/.exec(messageOf(error))?.[0];
  if (word === undefined || PASSING.has(word)) {
    return new RevocationLogError("unavailable", message, error);
  }
  return new RevocationLogError("unexpected", message, error);
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  // A connection refused on several addresses is an AggregateError without a message.
  return "code" in error ? String(error.code) : error.name;
}
