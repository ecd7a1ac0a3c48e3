/**
 * The revocation log in Redis, as a node reads it (Redis Streams: XRANGE, XGROUP, XREADGROUP, XACK).
 *
 * A blocked XREADGROUP holds up everything else on its connection, so a node's reader has one of its
 * own and writes its acknowledgements between two reads.
 */
import type { ChainableCommander } from "ioredis";
import { z } from "zod";
import { momentOf, type Clock } from "../clock/clock.js";
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import { toLogError } from "./error-redis.js";
import type { RawEntry } from "./entry.js";
import { META_FIELDS, parseMeta } from "./meta-redis.js";
import { decodeNodeRow, encodeNodeRow, nodeOfGroup } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import { RevocationLogError } from "./revocation-log.js";
import type { LogConnection, LogFacts, LogRead, NodeRow, RevocationLog } from "./revocation-log.js";

/** How long a read waits for an entry: the beat of a quiet log's proofs of freshness. */
const BLOCK_MS = 250;
/** How long a read, or an acknowledgement between two reads, may take beyond that. */
const WATCHDOG_MS = 400;
/** How long any other command may take; the node is not fresh while it runs anyway. */
const COMMAND_TIMEOUT_MS = 1000;
/** Every group has one reader. */
const CONSUMER = "reader";

const timeSchema = z.tuple([z.coerce.number(), z.coerce.number()]);
const pairsSchema = z.array(z.string());
const entrySchema = z.tuple([z.string(), pairsSchema.nullable()]);
const rangeSchema = z.array(entrySchema);
const streamsSchema = z.array(z.tuple([z.string(), rangeSchema])).nullable();
const roleSchema = z.tuple([z.string()]).rest(z.unknown());
const groupsSchema = z.array(z.array(z.unknown()));

export function revocationLogInRedis(
  open: OpenRedisConnection,
  keys: PartitionKeys,
  clock: Clock,
): RevocationLog {
  return { connect: async () => new RedisLogConnection(await open(), keys, clock) };
}

class RedisLogConnection implements LogConnection {
  readonly #redis: RedisConnection;
  readonly #keys: PartitionKeys;
  readonly #clock: Clock;

  constructor(redis: RedisConnection, keys: PartitionKeys, clock: Clock) {
    this.#redis = redis;
    this.#keys = keys;
    this.#clock = clock;
  }

  async facts(): Promise<LogFacts> {
    const sentAt = momentOf(this.#clock);
    const pipeline = this.#redis.client.pipeline();
    pipeline.call("ROLE");
    pipeline.time();
    pipeline.info("server");
    pipeline.hmget(this.#keys.meta, ...META_FIELDS);
    const [role, time, info, meta] = await this.#run(COMMAND_TIMEOUT_MS, "ROLE, TIME", pipeline);
    return {
      role: parse("ROLE", roleSchema, role)[0],
      serverMs: toMs(time),
      serverRunId: /^run_id:(\S+)/m.exec(parse("INFO", z.string(), info))?.[1] ?? "",
      meta: parseMeta(meta),
      sentAt,
      receivedAt: momentOf(this.#clock),
    };
  }

  async page(afterId: string | undefined, count: number): Promise<readonly RawEntry[]> {
    const from = afterId === undefined ? "-" : `(${afterId}`;
    const command = this.#redis.client.xrange(this.#keys.log, from, "+", "COUNT", count);
    const reply = await this.#redis.within<unknown>(COMMAND_TIMEOUT_MS, "XRANGE", command);
    return parse("XRANGE", rangeSchema, reply).map(toRawEntry);
  }

  async join(
    group: string,
    afterId: string,
    row: NodeRow,
    previous: string | undefined,
  ): Promise<void> {
    const { log, nodes } = this.#keys;
    // One transaction, so that a group without a row is always one that was left behind.
    const transaction = this.#redis.client.multi();
    transaction.hset(nodes, group, encodeNodeRow(row));
    transaction.xgroup("CREATE", log, group, afterId);
    if (previous !== undefined) {
      transaction.hdel(nodes, previous);
      transaction.xgroup("DESTROY", log, previous);
    }
    await this.#run(COMMAND_TIMEOUT_MS, "XGROUP CREATE", transaction);
  }

  async read(group: string, count: number): Promise<LogRead> {
    const { log, meta } = this.#keys;
    const sentAt = momentOf(this.#clock);
    const pipeline = this.#redis.client.pipeline();
    pipeline.time();
    pipeline.hmget(meta, ...META_FIELDS);
    pipeline.xreadgroup(
      ...([
        "GROUP",
        group,
        CONSUMER,
        "COUNT",
        count,
        "BLOCK",
        BLOCK_MS,
        "STREAMS",
        log,
        ">",
      ] as const),
    );
    const replies = await this.#run(BLOCK_MS + WATCHDOG_MS, "XREADGROUP", pipeline);
    return {
      meta: parseMeta(replies[1]),
      entries: toEntries(replies[2]),
      serverMs: toMs(replies[0]),
      sentAt,
      receivedAt: momentOf(this.#clock),
    };
  }

  async readPending(group: string, count: number): Promise<readonly RawEntry[]> {
    const reply = await this.#redis.within<unknown>(
      COMMAND_TIMEOUT_MS,
      "XREADGROUP 0",
      this.#redis.client.xreadgroup(
        ...(["GROUP", group, CONSUMER, "COUNT", count, "STREAMS", this.#keys.log, "0"] as const),
      ),
    );
    return toEntries(reply);
  }

  async acknowledge(group: string, ids: readonly string[], row: NodeRow): Promise<void> {
    const pipeline = this.#redis.client.pipeline();
    if (ids.length > 0) pipeline.xack(this.#keys.log, group, ...ids);
    pipeline.hset(this.#keys.nodes, group, encodeNodeRow(row));
    await this.#run(WATCHDOG_MS, "XACK", pipeline);
  }

  async leave(group: string): Promise<void> {
    const transaction = this.#redis.client.multi();
    transaction.hdel(this.#keys.nodes, group);
    transaction.xgroup("DESTROY", this.#keys.log, group);
    await this.#run(COMMAND_TIMEOUT_MS, "XGROUP DESTROY", transaction);
  }

  async removeSilent(seenBeforeMs: number): Promise<number> {
    const { log, nodes } = this.#keys;
    const pipeline = this.#redis.client.pipeline();
    // Groups first: one that is created after this has its row by then, and is not looked at.
    pipeline.xinfo("GROUPS", log);
    pipeline.hgetall(nodes);
    const [groups, rows] = await this.#run(COMMAND_TIMEOUT_MS, "XINFO GROUPS", pipeline);
    const rowOf = parse("HGETALL", z.record(z.string(), z.string()), rows);
    const names = parse("XINFO", groupsSchema, groups).map((fields) => String(fields[1]));
    const silent = [...new Set([...names, ...Object.keys(rowOf)])].filter((group) => {
      if (nodeOfGroup(group) === undefined) return false;
      const text = rowOf[group];
      // Without a row it was left behind; a row that cannot be read may be a newer version's.
      if (text === undefined) return true;
      const row = decodeNodeRow(text);
      return row !== undefined && row.seenMs < seenBeforeMs;
    });
    for (const group of silent) await this.leave(group);
    return silent.length;
  }

  close(): void {
    this.#redis.close();
  }

  /** The replies of a pipeline or transaction; the first error in it is thrown. */
  async #run(
    withinMs: number,
    what: string,
    pipeline: ChainableCommander,
  ): Promise<readonly unknown[]> {
    const results = await this.#redis.within(withinMs, what, pipeline.exec());
    if (results === null) throw new RevocationLogError("unexpected", `${what}: no reply`);
    for (const [error] of results) if (error !== null) throw toLogError(what, error);
    return results.map(([, reply]) => reply);
  }
}

function parse<T>(what: string, schema: z.ZodType<T>, reply: unknown): T {
  const parsed = schema.safeParse(reply);
  if (parsed.success) return parsed.data;
  throw new RevocationLogError("unexpected", `${what}: the reply is not of the known form`);
}

function toMs(reply: unknown): number {
  const [seconds, microseconds] = parse("TIME", timeSchema, reply);
  return seconds * 1000 + Math.floor(microseconds / 1000);
}

function toEntries(reply: unknown): readonly RawEntry[] {
  const streams = parse("XREADGROUP", streamsSchema, reply) ?? [];
  return streams.flatMap(([, entries]) => entries.map(toRawEntry));
}

function toRawEntry([id, pairs]: z.infer<typeof entrySchema>): RawEntry {
  if (pairs === null) return { id, fields: undefined };
  const fields: Record<string, string> = {};
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const [name, value] = [pairs[i], pairs[i + 1]];
    if (name !== undefined && value !== undefined) fields[name] = value;
  }
  return { id, fields };
}
