/** Removes the groups and rows of dead nodes. */
import { z } from "zod";
import type { RedisConnection } from "./connection-redis.js";
import { decodeNodeRow, nodeOfGroup } from "./node-row-redis.js";
import type { PartitionKeys } from "./partition.js";
import { groupsIn, parse, runAll } from "./replies-redis.js";

const COMMAND_TIMEOUT_MS = 1000;
/** The rest is removed next time. */
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
 * Removes groups and rows last seen before `seenBeforeMs` (the server's clock), and returns how many.
 * Rejects where there is no log.
 */
export async function removeSilentGroups(
  connection: RedisConnection,
  keys: PartitionKeys,
  seenBeforeMs: number,
): Promise<number> {
  const pipeline = connection.client.pipeline();
  // Groups are read first: a group created later is not in this list, and has its row at once.
  pipeline.xinfo("GROUPS", keys.log);
  pipeline.hgetall(keys.nodes);
  const [groups, rows] = await runAll(connection, COMMAND_TIMEOUT_MS, "XINFO GROUPS", pipeline);
  const rowOf = parse("HGETALL", rowsSchema, rows);
  const silent = [...new Set([...groupsIn(groups).keys(), ...Object.keys(rowOf)])].filter(
    (group) => {
      if (nodeOfGroup(group) === undefined) return false;
      const text = rowOf[group];
      // A group without a row belongs to a dead node; an unreadable row may be a newer version's.
      if (text === undefined) return true;
      const row = decodeNodeRow(text);
      return row !== undefined && row.seenMs < seenBeforeMs;
    },
  );
  const removed = silent.slice(0, REMOVED_AT_ONCE_MAX);
  await removeGroups(connection, keys, removed);
  return removed.length;
}
