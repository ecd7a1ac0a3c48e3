/** A node's row as stored in Redis: JSON in the hash `nodes`, one field per group. */
import { z } from "zod";
import { packageVersion } from "../runtime/package-version.js";
import { REVOCATION_KINDS } from "./entry.js";
import { ON_STALE } from "./on-stale.js";
import { LOG_FORMATS } from "./packed-entry.js";
import type { NodeRows } from "./receipt.js";
import type { NodeRow } from "./revocation-log.js";

/** Any node's Redis user may write a row, and terminals show what it says. */
const VERSION = /^[0-9A-Za-z.+-]{1,64}$/;
const KIND = /^[a-z_]{1,64}$/;
const LISTED_MAX = 64;

const rowSchema = z
  .object({
    seen: z.int().min(0),
    generation: z.string(),
    seq: z.int().min(0),
    max_staleness_ms: z.int().min(0),
    on_stale: z.enum(ON_STALE),
    formats: z.array(z.int()).max(LISTED_MAX).optional(),
    version: z.string().regex(VERSION).optional(),
    kinds: z.array(z.string().regex(KIND)).max(LISTED_MAX).optional(),
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
        version: row.version,
        kinds: row.kinds,
      }) satisfies NodeRow,
  );

/** With what this version reads. */
export function encodeNodeRow(row: NodeRow): string {
  const members = JSON.stringify({
    seen: row.seenMs,
    generation: row.generation,
    seq: row.seq,
    max_staleness_ms: row.maxStalenessMs,
    on_stale: row.onStale,
  });
  return `${members.slice(0, -1)},${readMembers()}`;
}

let encodedOnce: string | undefined;

/** The same in every row of a process, which writes one at least every second. */
function readMembers(): string {
  encodedOnce ??= JSON.stringify({
    formats: LOG_FORMATS,
    version: packageVersion(),
    kinds: REVOCATION_KINDS,
  }).slice(1);
  return encodedOnce;
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
