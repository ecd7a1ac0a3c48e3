/**
 * Counters that all instances share. rate-limiter-flexible counts attempts. Distinct accounts need
 * a script of our own, because "is it new, is there room, then note it" must be atomic: otherwise
 * two concurrent requests could exceed the limit by one account, again and again.
 */
import type { Cluster, Redis } from "ioredis";
import { RateLimiterRedis, RateLimiterRes } from "rate-limiter-flexible";
import { z } from "zod";

import type { Count, Counters, PointLimit } from "./counters.js";
import type { Limit, LimitSettings } from "./login-limits.js";

const PREFIX = "sekisho:limits";

/**
 * KEYS[1]: the accounts that an address tried, a sorted set by Redis's time in milliseconds.
 * ARGV: account, maximum, window in ms. Returns 0, or the ms until there is room.
 */
const OCCUPY = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local window = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
    local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    return math.max(1, oldest[2] + window - now)
  end
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], window)
return 0
`;

const freeInMsSchema = z.number().int().min(0);

export class RedisCounters implements Counters {
  readonly #client: Redis | Cluster;
  readonly #points: Readonly<Record<PointLimit, RateLimiterRedis>>;
  readonly #spread: Limit;
  readonly #probe: RateLimiterRedis;

  constructor(client: Redis | Cluster, settings: LimitSettings) {
    this.#client = client;
    const points = (name: string, { max, windowS }: Limit): RateLimiterRedis =>
      new RateLimiterRedis({
        storeClient: client,
        keyPrefix: `${PREFIX}:${name}`,
        points: max,
        duration: windowS,
      });
    this.#points = {
      account: points("account", settings.account),
      address: points("address", settings.address),
      refresh: points("refresh", settings.refresh),
      user_act: points("user_act", settings.user_act),
      admin_act: points("admin_act", settings.admin_act),
    };
    this.#spread = settings.spread;
    this.#probe = points("probe", { max: Number.MAX_SAFE_INTEGER, windowS: 1 });
  }

  async spend(limit: PointLimit, key: string): Promise<Count> {
    try {
      await this.#points[limit].consume(key);
      return { within: true };
    } catch (error) {
      // The library rejects with the count when no points are left, otherwise with an Error.
      if (error instanceof RateLimiterRes) return { within: false, freeInMs: error.msBeforeNext };
      throw error;
    }
  }

  async giveBack(limit: PointLimit, key: string): Promise<void> {
    const limiter = this.#points[limit];
    // If the window has ended meanwhile, a new one must not start below zero.
    const spent = await limiter.get(key);
    if (spent !== null && spent.consumedPoints > 0) await limiter.reward(key);
  }

  async occupy(address: string, account: string): Promise<Count> {
    const { max, windowS } = this.#spread;
    const answer = await this.#client.eval(
      OCCUPY,
      1,
      spreadKey(address),
      account,
      max,
      windowS * 1000,
    );
    const freeInMs = freeInMsSchema.parse(answer);
    return freeInMs === 0 ? { within: true } : { within: false, freeInMs };
  }

  async vacate(address: string, account: string): Promise<void> {
    await this.#client.zrem(spreadKey(address), account);
  }

  /** Counts on a key that no limit uses: shows that Redis answers and accepts writes. */
  async probe(): Promise<void> {
    await this.#probe.consume("probe");
  }
}

function spreadKey(address: string): string {
  return `${PREFIX}:spread:${address}`;
}
