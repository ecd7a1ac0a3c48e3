/**
 * Publishes into the log in Redis: one Lua script, then WAIT for the replicas on the same connection.
 *
 * WAIT counts the replicas that have what *this connection* wrote. On another connection, or one
 * that was mended in between, it would confirm at once and prove nothing.
 */
import { z } from "zod";
import type { Clock } from "../clock/clock.js";
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import { ENTRY_VERSION } from "./entry.js";
import { cutOffAheadMaxS } from "./horizon.js";
import { PARTITIONS, type PartitionKeys } from "./partition.js";
import { PUBLISH_CLOCK_DIFFERENCE_MAX_MS } from "./publisher.js";
import type { Publisher, PublishOutcome, PublishRefusal, PublishRequest } from "./publisher.js";
import type { Authority } from "./revocation-log.js";

const PUBLISH_TIMEOUT_MS = 2000;
const WAIT_TIMEOUT_MS = 1000;

/*
 * KEYS: log, meta. ARGV: authority, partitions, now (ms), largest clock difference (ms), cut-off (s)
 * or '', margin for a cut-off (s), then the entry's own fields in pairs.
 *
 * The horizon is the log's, never the publisher's. Trimming goes by the earlier of the two clocks,
 * and `~` leaves more rather than less.
 */
const PUBLISH_SCRIPT = `
local meta = redis.call('HMGET', KEYS[2], 'generation', 'restoring', 'authority', 'partitions', 'horizon_s')
if not meta[1] or redis.call('EXISTS', KEYS[1]) == 0 then return {'log_missing'} end
if meta[2] then return {'log_restoring'} end
if meta[3] ~= ARGV[1] then return {'wrong_authority', tostring(meta[3])} end
if meta[4] ~= ARGV[2] then return {'partitions_differ', tostring(meta[4])} end
local time = redis.call('TIME')
local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = tonumber(ARGV[3])
if math.abs(redis_ms - now_ms) > tonumber(ARGV[4]) then
  return {'clock_difference', string.format('%.0f', math.abs(redis_ms - now_ms))}
end
if ARGV[5] ~= '' and tonumber(ARGV[5]) * 1000 > now_ms + tonumber(ARGV[6]) * 1000 then
  return {'cutoff_too_late'}
end
local horizon_ms = tonumber(meta[5]) * 1000
local earlier_ms = math.min(redis_ms, now_ms)
local later_ms = math.max(redis_ms, now_ms)
local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)
local entry = {
  'seq', string.format('%.0f', seq),
  'at', string.format('%.0f', now_ms),
  'forget_at', string.format('%.0f', later_ms + horizon_ms),
}
for i = 7, #ARGV do entry[#entry + 1] = ARGV[i] end
local id = redis.call('XADD', KEYS[1], '*', unpack(entry))
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', earlier_ms - horizon_ms))
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][2]
for i = 1, #oldest, 2 do
  if oldest[i] == 'seq' then redis.call('HSET', KEYS[2], 'first_seq', oldest[i + 1]) end
end
return {'published', meta[1], string.format('%.0f', seq), id}
`;

const replySchema = z.union([
  z.tuple([z.literal("published"), z.string(), z.coerce.number(), z.string()]),
  z.tuple([z.enum(["wrong_authority", "partitions_differ", "clock_difference"]), z.string()]),
  z.tuple([z.enum(["log_missing", "log_restoring", "cutoff_too_late"])]),
]);

export interface PublisherOptions {
  readonly open: OpenRedisConnection;
  readonly keys: PartitionKeys;
  readonly clock: Clock;
  /** As whom this publisher speaks; a log with another authority refuses it. */
  readonly authority: Authority;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  /** The largest difference between any two machines' clocks, in seconds. */
  readonly clockSkewS: number;
}

export class RedisPublisher implements Publisher {
  readonly #options: PublisherOptions;
  #connection: RedisConnection | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  async publish(request: PublishRequest): Promise<PublishOutcome> {
    try {
      const connection = await this.#connected();
      const outcome = await this.#append(connection, request);
      return outcome.published ? await this.#replicated(connection, outcome) : outcome;
    } catch (error) {
      // Whatever was under way on this connection can no longer be told apart: begin a new one.
      this.close();
      const message = error instanceof Error ? error.message : String(error);
      return refused("unreachable", `Redis cannot be used now: ${message}`);
    }
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  async #connected(): Promise<RedisConnection> {
    if (this.#connection?.client.status === "ready") return this.#connection;
    this.close();
    this.#connection = await this.#options.open();
    return this.#connection;
  }

  async #append(connection: RedisConnection, request: PublishRequest): Promise<PublishOutcome> {
    const { keys, authority } = this.#options;
    const { revocation } = request;
    const cutOff = revocation.kind === "user_revoked" ? revocation.issuedBefore : undefined;
    const command = connection.client.eval(
      PUBLISH_SCRIPT,
      2,
      keys.log,
      keys.meta,
      authority,
      PARTITIONS,
      request.atMs,
      PUBLISH_CLOCK_DIFFERENCE_MAX_MS,
      cutOff ?? "",
      cutOffAheadMaxS(this.#options.clockSkewS),
      ...entryFields(request),
    );
    const reply: unknown = await connection.within(PUBLISH_TIMEOUT_MS, "EVAL", command);
    const parsed = replySchema.parse(reply);
    if (parsed[0] === "published") {
      const [, generation, seq, entryId] = parsed;
      return { published: true, generation, seq, entryId };
    }
    return refused(parsed[0], this.#explain(parsed[0], parsed[1] ?? ""));
  }

  async #replicated(connection: RedisConnection, outcome: PublishOutcome): Promise<PublishOutcome> {
    const { minReplicas } = this.#options;
    if (minReplicas === 0) return outcome;
    const command = connection.client.wait(minReplicas, WAIT_TIMEOUT_MS);
    const replicas = await connection.within(WAIT_TIMEOUT_MS + 500, "WAIT", command);
    if (replicas >= minReplicas) return outcome;
    return refused(
      "too_few_replicas",
      `the entry is in the log, but only ${replicas} of ${minReplicas} replicas have it ` +
        "(SEKISHO_REDIS_MIN_REPLICAS): a failover could lose it, so repeat the command",
    );
  }

  #explain(code: PublishRefusal, detail: string): string {
    switch (code) {
      case "log_missing":
        return "there is no revocation log in this Redis: run `sekisho log init`";
      case "log_restoring":
        return "the log is being restored: try again in a moment";
      case "wrong_authority":
        return (
          `the authority of this log is \`${detail}\`, not \`${this.#options.authority}\`` +
          (detail === "database" ? ": revoke through the session service" : "")
        );
      case "partitions_differ":
        return `the log has ${detail} partitions, this program is set to ${PARTITIONS}`;
      case "clock_difference":
        return (
          `the clocks of Redis and of this machine differ by ${detail} ms, allowed are ` +
          `${PUBLISH_CLOCK_DIFFERENCE_MAX_MS} ms either way: set the clocks (NTP)`
        );
      case "cutoff_too_late":
        return (
          `a cut-off may lie at most ${cutOffAheadMaxS(this.#options.clockSkewS)} s in the future ` +
          "(the clock skew and 2 s): the log would forget it before the last token that it revokes"
        );
      case "unreachable":
      case "too_few_replicas":
        return detail;
    }
  }
}

function refused(code: PublishRefusal, message: string): PublishOutcome {
  return { published: false, code, message };
}

/** The entry's fields in pairs, without those that the script adds (`seq`, `at`, `forget_at`). */
function entryFields(request: PublishRequest): readonly (string | number)[] {
  const { revocation, eventId, reason, actor } = request;
  const fields = {
    v: ENTRY_VERSION,
    kind: revocation.kind,
    tenant: revocation.tenant,
    user: revocation.user,
    ...(revocation.kind === "session_revoked"
      ? { session: revocation.session }
      : { epoch: revocation.epoch, issued_before: revocation.issuedBefore }),
    event_id: eventId,
    reason,
    actor,
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [name, value],
  );
}
