/** A node's row as stored in Redis: JSON in the hash `nodes`, one field per group. */
import { z } from "zod";
import { ON_STALE } from "./on-stale.js";
import { LOG_FORMATS } from "./packed-entry.js";
import type { NodeRows } from "./receipt.js";
import type { NodeRow } from "./revocation-log.js";

const rowSchema = z
  .object({
    seen: z.int().min(0),
    generation: z.string(),
    seq: z.int().min(0),
    max_staleness_ms: z.int().min(0),
    on_stale: z.enum(ON_STALE),
    formats: z.array(z.int()).optional(),
  })
  .transform(
    (row) =>
      ({
        seenMs: row.seen,
        generation: row.generation,
        seq: row.seq,
        maxStalenessMs: row.max_staleness_ms,
        onStale: row.on_stale,
        formats: row.formats,
      }) satisfies NodeRow,
  );

export function encodeNodeRow(row: NodeRow): string {
  return JSON.stringify({
    seen: row.seenMs,
    generation: row.generation,
    seq: row.seq,
    max_staleness_ms: row.maxStalenessMs,
    on_stale: row.onStale,
    formats: LOG_FORMATS,
  });
}

/** undefined for what no node of this version has written. */
export function decodeNodeRow(text: string): NodeRow | undefined {
  try {
    const parsed = rowSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The rows of the hash `nodes`; what no node of this version has written is left out. `deliveredIds`:
 * by group, where known.
 */
export function decodeNodeRows(
  fields: readonly (readonly [group: string, text: string])[],
  deliveredIds: ReadonlyMap<string, string> = new Map(),
): NodeRows["rows"] {
  return fields.flatMap(([group, text]) => {
    const [node, row] = [nodeOfGroup(group), decodeNodeRow(text)];
    if (node === undefined || row === undefined) return [];
    return [{ node, group, row, deliveredId: deliveredIds.get(group) }];
  });
}

/** Groups are named `<node>:<boot nonce>:<n>`; node ids contain no colon. */
const GROUP_NAME = /^([A-Za-z0-9._-]+):[0-9a-f]+:[0-9]+$/;

/** The node that a group belongs to; undefined for a group that is not ours. */
export function nodeOfGroup(group: string): string | undefined {
  return GROUP_NAME.exec(group)?.[1];
}
