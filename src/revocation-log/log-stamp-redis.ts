/** `LogAdmin.keep` in Redis: one script, so that the log that is stamped is the one that was checked. */
import { z } from "zod";
import type { SharedServer } from "./shared-connection-redis.js";
import { decodeNodeRows } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import type { NodeRows } from "./receipt.js";
import { parse } from "./replies-redis.js";
import { REPLID_FUNCTION } from "./server-info-redis.js";

const TIMEOUT_MS = 2000;

/* KEYS: meta, nodes. ARGV: generation, run id. The reply is empty where nothing was stamped. */
const KEEP_SCRIPT = `${REPLID_FUNCTION}
local meta = redis.call('HMGET', KEYS[1], 'generation', 'authority', 'run_id', 'replid', 'restoring',
  'retired_at', 'kept_at')
if meta[1] ~= ARGV[1] or meta[2] ~= 'database' or meta[3] ~= ARGV[2] then return {} end
if meta[4] ~= replid() or meta[5] or meta[6] then return {} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'kept_at',
  string.format('%.0f', math.max(now_ms, tonumber(meta[7] or '') or 0)))
return {string.format('%.0f', now_ms), redis.call('HGETALL', KEYS[2])}
`;

const replySchema = z.union([z.tuple([]), z.tuple([z.coerce.number(), z.array(z.string())])]);

export async function stampLog(
  { connection, runId }: SharedServer,
  { meta, nodes }: PartitionKeys,
  generation: string,
): Promise<NodeRows | undefined> {
  const command = connection.client.eval(KEEP_SCRIPT, 2, meta, nodes, generation, runId);
  const reply: unknown = await connection.within(TIMEOUT_MS, "EVAL", command);
  const [serverMs, fields = []] = parse("EVAL", replySchema, reply);
  return serverMs === undefined ? undefined : { serverMs, rows: decodeNodeRows(pairsOf(fields)) };
}

/** A hash as a script returns it: alternating names and values. */
function pairsOf(texts: readonly string[]): readonly (readonly [string, string])[] {
  return texts.flatMap((name, at) => {
    const value = texts[at + 1];
    return at % 2 === 0 && value !== undefined ? [[name, value] as const] : [];
  });
}
