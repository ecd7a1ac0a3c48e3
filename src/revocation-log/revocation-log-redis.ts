/**
 * The revocation log in Redis, as a node reads it (Redis Streams: XRANGE, XGROUP, XREADGROUP, XACK).
 *
 * A blocking XREADGROUP holds up everything else on its connection, so a node's reader has its own
 * and writes its acknowledgements between two reads.
 */
import { z } from "zod";
import { momentOf, type Clock } from "../runtime/clock.js";
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import type { RawEntry } from "./entry.js";
import { META_FIELDS, parseMeta, parsePrevious, PREVIOUS_FIELDS } from "./meta-redis.js";
import { encodeNodeRow } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import { entriesIn, parse, roleIn, runAll, timeToMs } from "./replies-redis.js";
import type {
  LogConnection,
  LogFacts,
  LogRead,
  MetaReply,
  NodeRow,
  Quorum,
  RevocationLog,
} from "./revocation-log.js";
import { replicationIn, serverIn } from "./server-info-redis.js";
import { removeGroups, removeSilentGroups } from "./silent-groups-redis.js";

/** How long a read, or an acknowledgement between two reads, may take beyond what it waits. */
const WATCHDOG_MS = 400;
/** How long any other command may take; the node is not fresh while it runs anyway. */
const COMMAND_TIMEOUT_MS = 1000;
/** Every group has one reader. */
const CONSUMER = "reader";

const streamsSchema = z.array(z.tuple([z.string(), z.unknown()])).nullable();

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
    pipeline.info("replication");
    pipeline.hmget(this.#keys.meta, ...META_FIELDS, ...PREVIOUS_FIELDS);
    const [role, time, server, replication, reply] = await runAll(
      this.#redis,
      COMMAND_TIMEOUT_MS,
      "ROLE, TIME",
      pipeline,
    );
    const fields = parse("HMGET", z.array(z.unknown()), reply);
    return {
      role: roleIn(role),
      serverMs: timeToMs(time),
      server: serverIn(
        parse("INFO", z.string(), server),
        parse("INFO", z.string(), replication),
        this.#redis.address,
      ),
      meta: parseMeta(fields.slice(0, META_FIELDS.length)),
      previous: parsePrevious(fields.slice(META_FIELDS.length)),
      sentAt,
      receivedAt: momentOf(this.#clock),
    };
  }

  async meta(): Promise<MetaReply> {
    const command = this.#redis.client.hmget(this.#keys.meta, ...META_FIELDS);
    return parseMeta(await this.#redis.within<unknown>(COMMAND_TIMEOUT_MS, "HMGET", command));
  }

  async page(afterId: string | undefined, count: number): Promise<readonly RawEntry[]> {
    const from = afterId === undefined ? "-" : `(${afterId}`;
    const command = this.#redis.client.xrange(this.#keys.log, from, "+", "COUNT", count);
    const reply = await this.#redis.within<unknown>(COMMAND_TIMEOUT_MS, "XRANGE", command);
    return entriesIn("XRANGE", reply);
  }

  async join(
    group: string,
    afterId: string,
    row: NodeRow,
    earlier: readonly string[],
  ): Promise<void> {
    const { log, nodes } = this.#keys;
    // One transaction, so that a group without a row always belongs to a dead node.
    const transaction = this.#redis.client.multi();
    transaction.hset(nodes, group, encodeNodeRow(row));
    transaction.xgroup("CREATE", log, group, afterId);
    for (const one of earlier) {
      transaction.hdel(nodes, one);
      transaction.xgroup("DESTROY", log, one);
    }
    await runAll(this.#redis, COMMAND_TIMEOUT_MS, "XGROUP CREATE", transaction);
  }

  async read(group: string, count: number, waitMs: number): Promise<LogRead> {
    const { log, meta } = this.#keys;
    const sentAt = momentOf(this.#clock);
    const pipeline = this.#redis.client.pipeline();
    pipeline.time();
    pipeline.hmget(meta, ...META_FIELDS);
    pipeline.info("replication");
    const reader = ["GROUP", group, CONSUMER, "COUNT", count] as const;
    const from = ["STREAMS", log, ">"] as const;
    // BLOCK 0 would wait for ever.
    if (waitMs > 0) pipeline.xreadgroup(...reader, "BLOCK", waitMs, ...from);
    else pipeline.xreadgroup(...reader, ...from);
    const withinMs = waitMs + WATCHDOG_MS;
    const [time, facts, info, entries] = await runAll(
      this.#redis,
      withinMs,
      "XREADGROUP",
      pipeline,
    );
    return {
      meta: parseMeta(facts),
      replication: replicationIn(parse("INFO", z.string(), info)),
      entries: toEntries(entries),
      serverMs: timeToMs(time),
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

  /**
   * WAIT covers the last write of this connection. After a failed write it would confirm an older
   * one, so an error in any reply fails the call.
   */
  async acknowledge(
    group: string,
    ids: readonly string[],
    row: NodeRow,
    quorum: Quorum | undefined,
  ): Promise<number> {
    const pipeline = this.#redis.client.pipeline();
    if (ids.length > 0) pipeline.xack(this.#keys.log, group, ...ids);
    pipeline.hset(this.#keys.nodes, group, encodeNodeRow(row));
    if (quorum !== undefined) pipeline.wait(quorum.replicas, quorum.waitMs);
    const withinMs = WATCHDOG_MS + (quorum?.waitMs ?? 0);
    const replies = await runAll(this.#redis, withinMs, "XACK", pipeline);
    return quorum === undefined ? 0 : parse("WAIT", z.int(), replies.at(-1));
  }

  async leave(groups: readonly string[]): Promise<void> {
    await removeGroups(this.#redis, this.#keys, groups);
  }

  async removeSilent(seenBeforeMs: number): Promise<number> {
    return removeSilentGroups(this.#redis, this.#keys, seenBeforeMs);
  }

  close(): void {
    this.#redis.close();
  }
}

function toEntries(reply: unknown): readonly RawEntry[] {
  const streams = parse("XREADGROUP", streamsSchema, reply) ?? [];
  return streams.flatMap(([, entries]) => entriesIn("XREADGROUP", entries));
}
