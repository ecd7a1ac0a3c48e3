/**
 * Limits that all instances share, counted in Redis, or in this process whenever Redis does not
 * answer in time. The limits must not make logins depend on Redis: they never wait longer than
 * `answerMaxMs`, and never let an attempt pass uncounted.
 *
 * - `starting`: not connected yet. Counted in this process, without reporting it: it is short.
 * - `redis`: counted in Redis. The first command that fails or takes too long, or a lost
 *   connection, leads to `process`, and that call is counted again there.
 * - `process`: counted in this process at once, without asking Redis. ioredis reconnects a few
 *   times a second; a new connection counts one point as a probe, and only if that succeeds (`PING`
 *   also works on a Redis that accepts no writes) is everything counted in Redis again.
 *
 * Counts are not carried over: after each change of mode, a client has the full limit again, in
 * each instance.
 */
import type { Cluster, Redis, RedisOptions } from "ioredis";

import { clusterClient, redisClient } from "../../revocation-log/client-redis.js";
import { systemClock, type Clock } from "../../runtime/clock.js";
import type { RedisSettings } from "../../runtime/config/redis-settings.js";
import { parseRedisUrl } from "../../runtime/config/redis-url.js";
import { withTimeout } from "../../runtime/with-timeout.js";
import { MemoryCounters } from "./counters-memory.js";
import { RedisCounters } from "./counters-redis.js";
import { countAct, countLogin, countRefresh, takeBack, type Counters } from "./counters.js";
import {
  requireUsableLimits,
  type ActLimitName,
  type Actor,
  type Admission,
  type LimitSettings,
  type LoginAttempt,
  type LoginLimits,
} from "./login-limits.js";

/** For the three round trips of a login together; normally they take less than one millisecond. */
export const ANSWER_MAX_MS = 200;

/** Between two attempts to connect. */
const RETRY_MS = 250;

export interface RedisLoginLimitsOptions {
  readonly redis: RedisSettings;
  readonly settings: LimitSettings;
  /** Called once per change: Redis is no longer used, and why. */
  readonly onFallback: (reason: string) => void;
  /** Called once per change: Redis is used again. */
  readonly onRecovered: () => void;
  readonly answerMaxMs?: number;
  /** For counting in this process; Redis uses its own time. */
  readonly clock?: Clock;
}

const CONNECTION = {
  protocol: 2,
  retryStrategy: () => RETRY_MS,
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResendUnfulfilledCommands: false,
  disableClientInfo: true,
  connectTimeout: 1000,
  // A hanging server does not close its side.
  disconnectTimeout: 100,
  noDelay: true,
} satisfies RedisOptions;

type CountingMode = "starting" | "redis" | "process" | "closed";

export class RedisLoginLimits implements LoginLimits {
  readonly #options: RedisLoginLimitsOptions;
  readonly #answerMaxMs: number;
  readonly #client: Redis | Cluster;
  readonly #inRedis: RedisCounters;
  readonly #inProcess: MemoryCounters;
  #mode: CountingMode = "starting";
  /** How often Redis became usable: a late failure of an earlier connection is ignored. */
  #arrivals = 0;
  /** The client's last connection error, which says more than the errors of the lost commands. */
  #connectionError: Error | undefined;

  /** Starts connecting and does not wait for it. @throws RangeError */
  constructor(options: RedisLoginLimitsOptions) {
    requireUsableLimits(options.settings);
    this.#options = options;
    this.#answerMaxMs = options.answerMaxMs ?? ANSWER_MAX_MS;
    this.#inProcess = new MemoryCounters(options.settings, options.clock ?? systemClock);
    // The timeout also bounds the client's own AUTH, which a hanging server would never answer.
    const commandTimeout = this.#answerMaxMs;
    this.#client = clientOf(options.redis, { ...CONNECTION, commandTimeout });
    this.#inRedis = new RedisCounters(this.#client, options.settings);
    this.#client.on("error", (error: Error) => {
      this.#connectionError = error;
    });
    this.#client.on("ready", () => void this.#probe());
    this.#client.on("close", () => this.#fallBack(new Error("the connection was closed")));
  }

  /** Where it counts now. */
  get countsIn(): "redis" | "process" {
    return this.#mode === "redis" ? "redis" : "process";
  }

  async admit(attempt: LoginAttempt): Promise<Admission> {
    return this.#count((counters) => countLogin(counters, attempt));
  }

  async admitRefresh(from: Pick<LoginAttempt, "address">): Promise<Admission> {
    return this.#count((counters) => countRefresh(counters, from.address));
  }

  async admitAct(limit: ActLimitName, actor: Actor): Promise<Admission> {
    return this.#count((counters) => countAct(counters, limit, actor));
  }

  async succeeded(attempt: LoginAttempt): Promise<void> {
    await this.#count((counters) => takeBack(counters, attempt));
  }

  /** Later calls are counted in this process. */
  close(): void {
    this.#mode = "closed";
    if (this.#client.status !== "end") this.#client.disconnect();
  }

  async #count<T>(use: (counters: Counters) => Promise<T>): Promise<T> {
    if (this.#isIn("redis")) {
      const arrival = this.#arrivals;
      try {
        return await this.#within(use(this.#inRedis));
      } catch (error) {
        // Concurrent commands that fail later must not end the next connection.
        if (this.#isIn("redis") && arrival === this.#arrivals) this.#abandon(error);
      }
    }
    return use(this.#inProcess);
  }

  #isIn(mode: CountingMode): boolean {
    return this.#mode === mode;
  }

  async #probe(): Promise<void> {
    this.#connectionError = undefined;
    try {
      await this.#within(this.#inRedis.probe());
    } catch (error) {
      this.#abandon(error);
      return;
    }
    if (this.#mode === "closed" || this.#client.status !== "ready") return;
    const wasAway = this.#mode === "process";
    this.#mode = "redis";
    this.#arrivals += 1;
    if (wasAway) this.#options.onRecovered();
  }

  /** A reply may still arrive late, so the connection is replaced by a new one. */
  #abandon(error: unknown): void {
    if (this.#mode === "closed") return;
    this.#fallBack(error);
    if (this.#client.status !== "end") this.#client.disconnect(true);
  }

  #fallBack(error: unknown): void {
    if (this.#mode !== "starting" && this.#mode !== "redis") return;
    this.#mode = "process";
    this.#options.onFallback(reasonOf(this.#connectionError ?? error));
  }

  #within<T>(answer: Promise<T>): Promise<T> {
    const maxMs = this.#answerMaxMs;
    return withTimeout(answer, maxMs, () => new Error(`no answer within ${maxMs} ms`));
  }
}

function clientOf(redis: RedisSettings, options: RedisOptions): Redis | Cluster {
  if (parseRedisUrl(redis.url).kind !== "cluster") return redisClient(redis, options);
  const { enableOfflineQueue } = CONNECTION;
  return clusterClient(redis, options, {
    enableOfflineQueue,
    clusterRetryStrategy: () => RETRY_MS,
  });
}

/** The message of ioredis or of Redis; it names the server's address but no password. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  // A connection refused on several addresses is an AggregateError without a message.
  return "code" in error ? String(error.code) : error.name;
}
