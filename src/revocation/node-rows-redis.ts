/** Reads what every node says of itself, for receipts and for `sekisho nodes`. */
import { z } from "zod";
import type { OpenRedisConnection, RedisConnection } from "./connection-redis.js";
import { KeptConnection } from "./kept-connection-redis.js";
import { META_FIELDS, parseMeta } from "./meta-redis.js";
import { decodeNodeRows } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import type { NodeRows, NodeRowsReader } from "./receipt.js";
import { RevocationLogError, type MetaReply } from "./revocation-log.js";

const TIMEOUT_MS = 1000;

const repliesSchema = z.tuple([
  z.tuple([z.coerce.number(), z.coerce.number()]),
  z.record(z.string(), z.string()),
  z.unknown(),
]);

/** Rows and log as they stood at one moment. */
export interface NodesAndLog extends NodeRows {
  readonly meta: MetaReply;
}

export class RedisNodeRows implements NodeRowsReader {
  readonly #kept: KeptConnection;
  readonly #keys: PartitionKeys;

  constructor(open: OpenRedisConnection, keys: PartitionKeys) {
    this.#kept = new KeptConnection(open);
    this.#keys = keys;
  }

  nodeRows(): Promise<NodesAndLog> {
    return this.#kept.use("HGETALL", ({ connection }) => this.#read(connection));
  }

  close(): void {
    this.#kept.close();
  }

  async #read(connection: RedisConnection): Promise<NodesAndLog> {
    const transaction = connection.client.multi();
    transaction.time();
    transaction.hgetall(this.#keys.nodes);
    transaction.hmget(this.#keys.meta, ...META_FIELDS);
    const results = await connection.within(TIMEOUT_MS, "HGETALL", transaction.exec());
    for (const [error] of results ?? []) if (error !== null) throw error;
    const parsed = repliesSchema.safeParse(results?.map(([, reply]) => reply));
    if (!parsed.success) {
      throw new RevocationLogError("unexpected", "the reply to HGETALL is not of the known form");
    }
    const [[seconds, microseconds], rows, meta] = parsed.data;
    return {
      serverMs: seconds * 1000 + Math.floor(microseconds / 1000),
      rows: decodeNodeRows(Object.entries(rows)),
      meta: parseMeta(meta),
    };
  }
}
