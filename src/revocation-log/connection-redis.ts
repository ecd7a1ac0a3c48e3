/**
 * One connection to Redis that is never reconnected: no retries, no offline queue, no replay. The
 * caller decides what a lost connection means, and opens another one.
 */
import type { Redis, RedisOptions } from "ioredis";
import type { RedisSettings } from "../runtime/config/redis-settings.js";
import { parseRedisUrl, type HostPort } from "../runtime/config/redis-url.js";
import { withTimeout } from "../runtime/with-timeout.js";
import { slotMaster } from "./cluster-slots-redis.js";
import { toLogError } from "./error-redis.js";
import { LOG_KEYS } from "./partition.js";
import { serverClient, shuffled } from "./client-redis.js";
import { RevocationLogError } from "./revocation-log.js";
import { MasterWatch } from "./sentinels-redis.js";

/** How long opening a connection may take, with TLS and authentication. */
const CONNECT_TIMEOUT_MS = 2000;

const COMMAND_TIMEOUT_MS = 1000;

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
  /** `host:port` of the server that it leads to, for messages. */
  readonly address: string;
  /**
   * The settled command, or a `RevocationLogError` after `withinMs` or any failure. If the command
   * does not settle in time, the connection is closed: a late reply could be taken for another's.
   */
  within<T>(withinMs: number, what: string, command: Promise<T>): Promise<T>;
  close(): void;
}

export type OpenRedisConnection = () => Promise<RedisConnection>;

/**
 * Opens connections to the server that has the log: the one server; the master that the Sentinels name
 * now; in a Redis Cluster, the master of the log's slot.
 */
export function redisConnections(settings: RedisSettings): OpenRedisConnection {
  const address = parseRedisUrl(settings.url);
  const connect = (server: HostPort) => open(serverClient(server, settings, OPTIONS), server);
  if (address.kind === "server") return () => connect(address.hosts[0]);
  if (address.kind === "sentinel") return () => openWatched(new MasterWatch(settings), connect);
  return async () => connect(await logMaster(shuffled(address.hosts), connect));
}

/** Asks the servers of a cluster, one after the other, until one knows the log's master. */
async function logMaster(
  servers: readonly HostPort[],
  connect: (server: HostPort) => Promise<RedisConnection>,
): Promise<HostPort> {
  let error: unknown;
  for (const server of servers) {
    try {
      const connection = await connect(server);
      try {
        const { client } = connection;
        const { log } = LOG_KEYS;
        const asked = Promise.all([client.cluster("KEYSLOT", log), client.cluster("SLOTS")]);
        const replies = await connection.within(COMMAND_TIMEOUT_MS, "CLUSTER SLOTS", asked);
        return slotMaster(...replies, server);
      } finally {
        connection.close();
      }
    } catch (thrown) {
      error = thrown;
    }
  }
  throw toLogError("CLUSTER SLOTS", error);
}

/** A connection to the master that ends as soon as a Sentinel announces another one. */
async function openWatched(
  watch: MasterWatch,
  connect: (server: HostPort) => Promise<RedisConnection>,
): Promise<RedisConnection> {
  try {
    const connection = await connect(await watch.master());
    const { client } = connection;
    watch.switched.addEventListener("abort", () => connection.close(), { once: true });
    client.once("end", () => watch.close());
    if (!watch.switched.aborted && client.status === "ready") return connection;
    connection.close();
    throw new RevocationLogError("unavailable", "the Sentinels announce another master");
  } catch (error) {
    watch.close();
    throw error;
  }
}

async function open(client: Redis, server: HostPort): Promise<RedisConnection> {
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
    const address = `${server.host}:${server.port}`;
    return { client, address, within: run, close: () => disconnect(client) };
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
