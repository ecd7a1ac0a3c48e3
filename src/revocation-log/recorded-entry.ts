/** Entries of the log as an importer reads them: with everything that the database records. */
import { z } from "zod";
import type { EntryContent } from "./entry-fields.js";
import type { LogEntry, RawEntry } from "./entry.js";
import { PACKED_FIELD, packedRecord } from "./packed-entry.js";
import { decodeEntry } from "./entry-decoding.js";

/** Fields that nodes ignore. undefined: the publisher gave none. */
const recordSchema = z.object({
  event_id: z.string().optional(),
  reason: z.string().optional(),
  actor: z.string().optional(),
  origin: z.string().optional(),
});

export interface RecordedRevocation extends EntryContent {
  readonly kind: "revocation";
  readonly id: string;
  readonly seq: number;
  /** When it was decided, Unix milliseconds. */
  readonly atMs: number;
}

/** An unreadable entry may be a revocation: the caller has to report it. */
export type RecordedEntry = RecordedRevocation | Exclude<LogEntry, { readonly kind: "revocation" }>;

/** Never throws. */
export function decodeRecordedEntry(raw: RawEntry): RecordedEntry {
  const entry = decodeEntry(raw);
  if (entry.kind !== "revocation") return entry;
  const { id, seq, revocation, atMs } = entry;
  const packed = raw.fields?.[PACKED_FIELD];
  const {
    event_id: eventId,
    reason,
    actor,
    origin,
  } = packed === undefined ? recordSchema.parse(raw.fields) : packedRecord(packed);
  return {
    kind: "revocation",
    id,
    seq,
    revocation,
    atMs,
    eventId,
    reason,
    actor,
    // Only entries published past the session service have one, whatever a newer version calls it.
    origin: origin === undefined ? undefined : "break_glass",
  };
}
