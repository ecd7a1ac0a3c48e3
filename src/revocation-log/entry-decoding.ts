/** Reads entries of every format that this version knows. */
import { decodeFields, type LogEntry, type RawEntry } from "./entry.js";
import { decodePackedEntry, PACKED_FIELD } from "./packed-entry.js";

/** Never throws: an entry that cannot be read becomes one of kind `unreadable`. */
export function decodeEntry(raw: RawEntry): LogEntry {
  const packed = raw.fields?.[PACKED_FIELD];
  return packed === undefined ? decodeFields(raw) : decodePackedEntry(raw.id, packed);
}
