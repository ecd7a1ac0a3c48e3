/**
 * Which server the Sentinels name as the master, and when they name another one.
 *
 * A watch is subscribed to every Sentinel for as long as the connection to the master lasts. The
 * Sentinel that names the master was subscribed to before it was asked, so no switch is missed that it
 * learns of after its answer.
 */
import type { Redis, RedisOptions } from "ioredis";
import { z } from "zod";
import type { RedisSettings } from "../runtime/config/redis-settings.js";
import { parseRedisUrl, type HostPort } from "../runtime/config/redis-url.js";
import { withTimeout } from "../runtime/with-timeout.js";
import { sentinelClient } from "./client-redis.js";
import { toSentinelError } from "./error-redis.js";
import { parse } from "./replies-redis.js";
import { RevocationLogError } from "./revocation-log.js";

const SWITCH_MASTER = "+switch-master";
/** For connecting and one answer; longer than the client's own time-outs. */
const ANSWER_TIMEOUT_MS = 2000;
/** Between attempts to subscribe to a Sentinel again. */
const RETRY_MS = 1000;

const ASKING = {
  protocol: 2,
  lazyConnect: true,
  retryStrategy: null,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  disableClientInfo: true,
  connectTimeout: 1000,
  commandTimeout: 500,
  keepAlive: 10_000,
} satisfies RedisOptions;
const WATCHING = { ...ASKING, retryStrategy: () => RETRY_MS };

/** Null for a master that the Sentinel does not know. */
const addressSchema = z.tuple([z.string(), z.coerce.number().int().min(1).max(65_535)]).nullable();

interface Watched {
  readonly sentinel: HostPort;
  readonly client: Redis;
  /** Settles with the first attempt. */
  readonly subscribed: Promise<void>;
}

export class MasterWatch {
  readonly #settings: RedisSettings;
  readonly #masterName: string;
  readonly #watched: readonly Watched[];
  readonly #switched = new AbortController();

  /** Begins to subscribe to the Sentinels of the URL. */
  constructor(settings: RedisSettings) {
    const { hosts, masterName } = parseRedisUrl(settings.url);
    this.#settings = settings;
    this.#masterName = masterName;
    this.#watched = hosts.map((sentinel) => this.#watch(sentinel));
  }

  /** Aborted as soon as a Sentinel announces another master. */
  get switched(): AbortSignal {
    return this.#switched.signal;
  }

  /** The first answer of a Sentinel. @throws RevocationLogError */
  async master(): Promise<HostPort> {
    const left = new Set(this.#watched);
    let error: unknown;
    while (left.size > 0) {
      const subscribing = withTimeout(firstSubscribed([...left]), ANSWER_TIMEOUT_MS, noAnswer);
      const first = await subscribing.catch((thrown: unknown) => {
        error ??= thrown;
      });
      if (first === undefined) break;
      left.delete(first);
      try {
        return await withTimeout(this.#ask(first.sentinel), ANSWER_TIMEOUT_MS, noAnswer);
      } catch (thrown) {
        error = thrown;
      }
    }
    throw toSentinelError(`the Sentinels and the master "${this.#masterName}"`, error);
  }

  close(): void {
    for (const { client } of this.#watched) disconnect(client);
  }

  #watch(sentinel: HostPort): Watched {
    const client = sentinelClient(sentinel, this.#settings, WATCHING);
    client.on("message", (_channel: string, message: string) => {
      if (message.startsWith(`${this.#masterName} `)) this.#switched.abort();
    });
    const subscribed = new Promise<void>((resolve, reject) => {
      client.on("error", reject);
      client.on("close", () => reject(new Error("the connection was closed")));
      client.on("ready", () => {
        client.subscribe(SWITCH_MASTER).then(() => resolve(), reject);
      });
    });
    // Of a Sentinel that is no longer waited for.
    subscribed.catch(() => undefined);
    client.connect().catch(() => undefined);
    return { sentinel, client, subscribed };
  }

  async #ask(sentinel: HostPort): Promise<HostPort> {
    const client = sentinelClient(sentinel, this.#settings, ASKING);
    let connectionError: unknown;
    client.on("error", (error) => (connectionError ??= error));
    try {
      await client.connect();
      const command = ["get-master-addr-by-name", this.#masterName] as const;
      const reply = parse("SENTINEL", addressSchema, await client.call("SENTINEL", ...command));
      if (reply === null) throw new RevocationLogError("unavailable", "it knows no such master");
      const [host, port] = reply;
      return { host, port };
    } catch (error) {
      throw connectionError ?? error;
    } finally {
      disconnect(client);
    }
  }
}

/** @throws the error of one of them if none was subscribed to */
async function firstSubscribed(watched: readonly Watched[]): Promise<Watched> {
  const subscribing = watched.map(async (one) => {
    await one.subscribed;
    return one;
  });
  return Promise.any(subscribing).catch((error: unknown) => {
    throw error instanceof AggregateError ? error.errors[0] : error;
  });
}

const noAnswer = (): Error => new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`);

function disconnect(client: Redis): void {
  if (client.status !== "end") client.disconnect();
}
