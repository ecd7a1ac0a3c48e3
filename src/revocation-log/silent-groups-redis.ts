/** Removes what dead nodes left behind: their groups in the log and their rows beside it. */
import { z } from "zod";
import type { RedisConnection } from "./connection-redis.js";
import { decodeNodeRow, nodeOfGroup } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import { groupsIn, parse, runAll } from "./replies-redis.js";

const COMMAND_TIMEOUT_MS = 1000;
/** Whatever is left is removed the next time. */
const REMOVED_AT_ONCE_MAX = 256;

const rowsSchema = z.record(z.string(), z.string());

export async function removeGroups(
  connection: RedisConnection,
  { log, nodes }: PartitionKeys,
  groups: readonly string[],
): Promise<void> {
  if (groups.length === 0) return;
  const transaction = connection.client.multi();
  for (const group of groups) {
    transaction.hdel(nodes, group);
    transaction.xgroup("DESTROY", log, group);
  }
  await runAll(connection, COMMAND_TIMEOUT_MS, "XGROUP DESTROY", transaction);
}

/**
 * Removes groups and rows last seen before `seenBeforeMs` (the server's clock), and says how many.
 * Needs a log: without the stream it rejects.
 */
export async function removeSilentGroups(
  connection: RedisConnection,
  keys: PartitionKeys,
  seenBeforeMs: number,
): Promise<number> {
  const pipeline = connection.client.pipeline();
  // Groups first: one that is created after this has its row by then, and is not looked at.
  pipeline.xinfo("GROUPS", keys.log);
  pipeline.hgetall(keys.nodes);
  const [groups, rows] = await runAll(connection, COMMAND_TIMEOUT_MS, "XINFO GROUPS", pipeline);
  const rowOf = parse("HGETALL", rowsSchema, rows);
  const silent = [...new Set([...groupsIn(groups).keys(), ...Object.keys(rowOf)])].filter(
    (group) => {
      if (nodeOfGroup(group) === undefined) return false;
      const text = rowOf[group];
      // Without a row it was left behind; a row that cannot be read may be a newer version's.
      if (text === undefined) return true;
      const row = decodeNodeRow(text);
      return row !== undefined && row.seenMs < seenBeforeMs;
    },
  );
  const removed = silent.slice(0, REMOVED_AT_ONCE_MAX);
  await removeGroups(connection, keys, removed);
  return removed.length;
}
