/**
 * Evidence for or against a node's row, which any node's Redis user may write:
 *
 * - The group's `last-delivered-id`, which Redis itself maintains. A node reads with its group and
 *   writes its row afterwards, so an honest row never claims more than its group was given.
 * - Earlier versions of the row. A group has one reader, and one log, for as long as it lives.
 *
 * Not detected: a forger may also read with that group, or delete and recreate it. Then the node
 * itself finds a gap or no group at its next read, within a quarter of a second, reads the whole log,
 * and makes another group.
 */
import type { NodeRow } from "./revocation-log.js";

/** How far a row's `seenMs` may go back: the server's clock may be set back a little. */
const CLOCK_SET_BACK_MAX_MS = 1000;

/**
 * Whether Redis has delivered the entry `entryId` to a group (undefined: any) whose last delivered
 * entry is `deliveredId`; undefined: there is no such group.
 */
export function isDelivered(deliveredId: string | undefined, entryId: string | undefined): boolean {
  if (deliveredId === undefined) return false;
  if (entryId === undefined || deliveredId === entryId) return true;
  const [[deliveredMs, delivered], [entryMs, entry]] = [partsOf(deliveredId), partsOf(entryId)];
  return deliveredMs === entryMs ? delivered >= entry : deliveredMs > entryMs;
}

/** Whether one node, in one group, cannot have written `before` and later `row`. */
export function contradicts(row: NodeRow, before: NodeRow | undefined): boolean {
  if (before === undefined) return false;
  return (
    row.generation !== before.generation ||
    row.seq < before.seq ||
    row.seenMs < before.seenMs - CLOCK_SET_BACK_MAX_MS ||
    row.maxStalenessMs !== before.maxStalenessMs ||
    row.onStale !== before.onStale
  );
}

/** Redis's IDs of stream entries: `<Unix milliseconds>-<number>`. */
function partsOf(id: string): readonly [ms: number, n: number] {
  const dash = id.indexOf("-");
  return [Number(id.slice(0, dash)), Number(id.slice(dash + 1))];
}
