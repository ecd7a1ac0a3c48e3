/**
 * Sets the format of the entries that are written from now on. Nodes read every format that they know
 * at any time; one that does not know the log's format is stale for as long as such an entry matters.
 */
import { z } from "zod";
import type { OpenRedisConnection } from "./connection-redis.js";
import { RedisNodeRows } from "./node-rows-redis.js";
import { readByNode } from "./nodes-report.js";
import type { LogFormat } from "./packed-entry.js";
import type { PartitionKeys } from "./partition.js";
import { parse } from "./replies-redis.js";

const TIMEOUT_MS = 2000;

export type FormatOutcome =
  | { readonly kind: "set"; readonly before: number }
  /** Nothing was changed: these nodes, seen within minutes, do not read it. */
  | { readonly kind: "not_read"; readonly nodes: readonly string[] }
  | { readonly kind: "no_log" };

/* KEYS: meta. ARGV: generation, format. Returns the format before, or nothing. */
const SET_SCRIPT = `
local meta = redis.call('HMGET', KEYS[1], 'generation', 'restoring', 'format')
if meta[1] ~= ARGV[1] or meta[2] then return false end
redis.call('HSET', KEYS[1], 'format', ARGV[2])
return meta[3] or '1'
`;

/** Rejects with a RevocationLogError. */
export async function setLogFormat(
  open: OpenRedisConnection,
  keys: PartitionKeys,
  format: LogFormat,
): Promise<FormatOutcome> {
  const reader = new RedisNodeRows(open, keys);
  try {
    const { rows, meta } = await reader.nodeRows();
    if (typeof meta === "string") return { kind: "no_log" };
    const nodes = rows
      .filter(({ row }) => !readByNode(row).formats.includes(format))
      .map(({ node }) => node);
    if (nodes.length > 0) return { kind: "not_read", nodes: [...new Set(nodes)].sort() };
    const connection = await open();
    try {
      const command = connection.client.eval(SET_SCRIPT, 1, keys.meta, meta.generation, format);
      const reply = await connection.within<unknown>(TIMEOUT_MS, "EVAL", command);
      const before = parse("EVAL", z.coerce.number().int().nullable(), reply);
      return reply === null ? { kind: "no_log" } : { kind: "set", before: before ?? 1 };
    } finally {
      connection.close();
    }
  } finally {
    reader.close();
  }
}
