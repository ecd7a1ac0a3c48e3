/**
 * Publishes into the log in Redis: one Lua script, then WAIT for the replicas on the same connection.
 *
 * WAIT counts the replicas that have what *this connection* wrote. On another connection, or after a
 * reconnect, it would confirm at once and prove nothing.
 */
import { z } from "zod";
import type { Clock } from "../runtime/clock.js";
import { describeClockOffset } from "../runtime/clock-offset.js";
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import { NAMED_EPOCH_MAX } from "../tokens/identifier.js";
import { entryFields, whyUnreadable } from "./entry-fields.js";
import { cutOffOf, type EntryOrigin } from "./entry.js";
import { toLogError } from "./error-redis.js";
import { cutOffAheadMaxS } from "./horizon.js";
import { SharedConnection, type SharedServer } from "./shared-connection-redis.js";
import { PACKED_FIELD, packedTail } from "./packed-entry.js";
import { PARTITIONS, type PartitionKeys } from "./partition.js";
import { PUBLISH_CLOCK_DIFFERENCE_MAX_MS } from "./publisher.js";
import type { Publisher, PublishOutcome, PublishRefusal, DecidedRevocation } from "./publisher.js";
import { parse } from "./replies-redis.js";
import type { Authority } from "./revocation-log.js";
import { REPLID_FUNCTION } from "./server-info-redis.js";
import { SharedWait } from "./shared-wait-redis.js";
import { TRIM_FUNCTION } from "./trimming-redis.js";

const PUBLISH_TIMEOUT_MS = 2000;

/*
 * KEYS: log, meta. ARGV: authority or '' for any, this server's run id, partitions, now (ms), largest
 * clock difference (ms), cut-off (s) or '', margin for a cut-off (s), when it was decided (ms), the
 * generation that the database means or '' for none, the greatest epoch, the entry packed, without what
 * the script sets, then the same in pairs: the log's `meta` says which of the two it holds.
 *
 * An entry may be published long after it was decided, so its `at` says nothing about the time now:
 * trimming and forgetting go by the two clocks. A cut-off is measured from the decision or from now,
 * whichever is later; a decision in the future counts for no more than the clocks may differ, which
 * the margin in the horizon covers.
 *
 * The horizon is the log's, never the publisher's. No publisher trims the log of a database: what was
 * published past the session service exists nowhere else until the relay has imported it, and a
 * session whose end the service never learned of would go on. The relay trims (`LogAdmin`).
 */
const PUBLISH_SCRIPT = `${TRIM_FUNCTION}${REPLID_FUNCTION}
local meta = redis.call('HMGET', KEYS[2], 'generation', 'restoring', 'authority', 'partitions', 'horizon_s',
  'run_id', 'replid', 'min_replicas', 'retired_at', 'format')
if meta[2] then return {'log_restoring'} end
if not meta[1] or redis.call('EXISTS', KEYS[1]) == 0 then return {'log_missing'} end
if meta[9] then return {'log_retired'} end
if ARGV[1] ~= '' and meta[3] ~= ARGV[1] then return {'wrong_authority', tostring(meta[3])} end
if ARGV[1] == 'database' and meta[1] ~= ARGV[9] then return {'generation_differs', meta[1]} end
if meta[3] == 'database' and (meta[6] ~= ARGV[2] or meta[7] ~= replid()) then
  return {'log_incomplete'}
end
if meta[4] ~= ARGV[3] then return {'partitions_differ', tostring(meta[4])} end
local greatest = {epoch = ARGV[10], issued_before = '9007199254740991'}
for i = 12, #ARGV, 2 do
  local limit, value = greatest[ARGV[i]], ARGV[i + 1]
  if limit and (#value > 16 or not string.match(value, '^%d+$') or tonumber(value) > tonumber(limit)) then
    return {'out_of_range', ARGV[i]}
  end
end
local time = redis.call('TIME')
local redis_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_ms = tonumber(ARGV[4])
local difference_max_ms = tonumber(ARGV[5])
if math.abs(redis_ms - now_ms) > difference_max_ms then
  return {'clock_difference', string.format('%.0f', redis_ms - now_ms)}
end
local decided_ms = math.min(tonumber(ARGV[8]), now_ms + difference_max_ms)
if ARGV[6] ~= ''
  and tonumber(ARGV[6]) * 1000 > math.max(now_ms, decided_ms) + tonumber(ARGV[7]) * 1000 then
  return {'cutoff_too_late'}
end
local horizon_ms = tonumber(meta[5]) * 1000
local later_ms = math.max(redis_ms, now_ms)
local seq = redis.call('HINCRBY', KEYS[2], 'seq', 1)
local id
local forget_at = string.format('%.0f', later_ms + horizon_ms)
if meta[10] == '2' then
  id = redis.call('XADD', KEYS[1], '*', '${PACKED_FIELD}',
    '[' .. string.format('%.0f', seq) .. ',' .. ARGV[8] .. ',' .. forget_at .. ',' .. ARGV[11])
else
  id = redis.call('XADD', KEYS[1], '*', 'seq', string.format('%.0f', seq), 'at', ARGV[8],
    'forget_at', forget_at, unpack(ARGV, 12))
end
if meta[3] ~= 'database' then
  trim(string.format('%.0f', math.min(redis_ms, now_ms) - horizon_ms))
end
return {'published', meta[1], string.format('%.0f', seq), id, meta[8] or '0'}
`;

const replySchema = z.union([
  z.tuple([z.literal("published"), z.string(), z.coerce.number(), z.string(), z.coerce.number()]),
  z.tuple([
    z.enum([
      "wrong_authority",
      "generation_differs",
      "partitions_differ",
      "clock_difference",
      "out_of_range",
    ]),
    z.string(),
  ]),
  z.tuple([
    z.enum(["log_missing", "log_restoring", "log_retired", "log_incomplete", "cutoff_too_late"]),
  ]),
]);

export interface PublisherOptions {
  readonly open: OpenRedisConnection;
  readonly keys: PartitionKeys;
  readonly clock: Clock;
  /** The authority of this publisher; a log with another one refuses it. */
  readonly authority: Authority;
  /**
   * Publishes into a log of any authority, past the session service, and marks the entries so that
   * the service imports them later. Left out: no.
   */
  readonly breakGlass?: boolean;
  /** How many replicas must have an entry before it counts as published; the log may demand more. */
  readonly minReplicas: number;
  /** The largest difference between any two machines' clocks, in seconds. */
  readonly clockSkewS: number;
}

export class RedisPublisher implements Publisher {
  readonly #options: PublisherOptions;
  readonly #shared: SharedConnection;
  readonly #waits = new WeakMap<RedisConnection, SharedWait>();

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#shared = new SharedConnection(options.open);
  }

  async publish(request: DecidedRevocation): Promise<PublishOutcome> {
    const content = { ...request, origin: this.#origin };
    const unreadable = whyUnreadable(content, Math.floor(request.atMs));
    if (unreadable !== undefined) return refused("entry_unreadable", unreadable);
    try {
      return await this.#shared.use("publish", async (server) => {
        const { outcome, minReplicas } = await this.#append(server, request);
        return outcome.published
          ? await this.#replicated(server.connection, outcome, minReplicas)
          : outcome;
      });
    } catch (error) {
      const { code, message } = toLogError("publish", error);
      const why = code === "unavailable" ? `Redis cannot be used now: ${message}` : message;
      return refused("unreachable", why);
    }
  }

  close(): void {
    this.#shared.close();
  }

  get #origin(): EntryOrigin | undefined {
    return this.#options.breakGlass === true ? "break_glass" : undefined;
  }

  async #append(
    { connection, runId }: SharedServer,
    request: DecidedRevocation,
  ): Promise<{ readonly outcome: PublishOutcome; readonly minReplicas: number }> {
    const { keys, authority, clock, clockSkewS, breakGlass = false } = this.#options;
    const isDatabase = authority === "database" && !breakGlass;
    const { revocation } = request;
    const content = { ...request, origin: this.#origin };
    const command = connection.client.eval(
      PUBLISH_SCRIPT,
      2,
      keys.log,
      keys.meta,
      breakGlass ? "" : authority,
      runId,
      PARTITIONS,
      clock.wallMs(),
      PUBLISH_CLOCK_DIFFERENCE_MAX_MS,
      cutOffOf(revocation) ?? "",
      cutOffAheadMaxS(clockSkewS),
      Math.floor(request.atMs),
      request.generation ?? "",
      isDatabase ? Number.MAX_SAFE_INTEGER : NAMED_EPOCH_MAX,
      packedTail(content),
      ...entryFields(content),
    );
    const reply: unknown = await connection.within(PUBLISH_TIMEOUT_MS, "EVAL", command);
    const parsed = parse("EVAL", replySchema, reply);
    if (parsed[0] === "published") {
      const [, generation, seq, entryId, demanded] = parsed;
      const outcome = { published: true, generation, seq, entryId } as const;
      return { outcome, minReplicas: Math.max(demanded, this.#options.minReplicas) };
    }
    const outcome = refused(parsed[0], this.#explain(parsed[0], parsed[1] ?? ""));
    return { outcome, minReplicas: 0 };
  }

  async #replicated(
    connection: RedisConnection,
    outcome: PublishOutcome,
    minReplicas: number,
  ): Promise<PublishOutcome> {
    if (minReplicas === 0) return outcome;
    const replicas = await this.#waitOn(connection).reached(minReplicas);
    if (replicas >= minReplicas) return outcome;
    return refused(
      "too_few_replicas",
      `the entry is in the log, but only ${replicas} of ${minReplicas} replicas have it ` +
        "(SEKISHO_REDIS_MIN_REPLICAS, or min_replicas of the log): a failover could lose it, so repeat the command",
    );
  }

  #waitOn(connection: RedisConnection): SharedWait {
    const known = this.#waits.get(connection);
    if (known !== undefined) return known;
    const wait = new SharedWait(connection);
    this.#waits.set(connection, wait);
    return wait;
  }

  #explain(code: PublishRefusal, detail: string): string {
    switch (code) {
      case "log_missing":
        return "there is no revocation log in this Redis: run `sekisho log init`";
      case "log_restoring":
        return "the log is being restored: try again in a moment";
      case "log_retired":
        return (
          "the log in this Redis is retired, and no node follows it: point SEKISHO_REDIS_URL at the " +
          "Redis that replaces it, or open this one again with `sekisho log retire --undo`"
        );
      case "log_incomplete":
        return (
          "Redis was restarted or promoted and its log may have lost entries, so no node reads it: wait until " +
          "the session service has restored it"
        );
      case "wrong_authority":
        return (
          `the authority of this log is \`${detail}\`, not \`${this.#options.authority}\`` +
          (detail === "database"
            ? ": revoke through the session service (SEKISHO_SESSIONS_URL and SEKISHO_SESSIONS_TOKEN), " +
              "or past it with --break-glass"
            : "")
        );
      case "generation_differs":
        return (
          `this Redis holds the log \`${detail}\`, and the database means another one: do all ` +
          "instances of the session service have the same SEKISHO_REDIS_URL?"
        );
      case "partitions_differ":
        return `the log has ${detail} partitions, this program is set to ${PARTITIONS}`;
      case "clock_difference":
        return describeClockOffset("Redis", Number(detail), PUBLISH_CLOCK_DIFFERENCE_MAX_MS);
      case "cutoff_too_late":
        return (
          `a cut-off may lie at most ${cutOffAheadMaxS(this.#options.clockSkewS)} s in the future ` +
          "(the clock skew and 2 s): the log would forget it before the last token that it revokes"
        );
      case "out_of_range":
        return (
          `\`${detail}\` is not a whole number, or too large: an epoch may be at most 2^52, so that it ` +
          "can rise after it"
        );
      case "entry_unreadable":
      case "unreachable":
      case "too_few_replicas":
        return detail;
    }
  }
}

function refused(code: PublishRefusal, message: string): PublishOutcome {
  return { published: false, code, message };
}
