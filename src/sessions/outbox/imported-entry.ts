/**
 * An entry that was found in the log, as a revocation of the database's. What comes from the log is
 * not trusted to fit: everything that the tables refuse would stand in the way of all that follows.
 */
import { createHash } from "node:crypto";
import { nextSecond } from "../../runtime/clock.js";
import { NAMED_EPOCH_MAX } from "../../tokens/identifier.js";
import type { Revocation } from "../../revocation-log/entry.js";
import type { RecordedRevocation } from "../../revocation-log/recorded-entry.js";
import type { CommittedRevocation } from "./outbox.js";

export interface ImportedRevocation extends CommittedRevocation {
  readonly entryId: string;
  /** It was published past the session service, and says so. */
  readonly breakGlass: boolean;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const TEXT_MAX_LENGTH = 512;

/**
 * It counts from `nowMs` (Unix milliseconds) on: as long as the database did not know it, what it
 * revokes could be refreshed, and is to be remembered until the last token of then has expired.
 */
export function importedRevocation(entry: RecordedRevocation, nowMs: number): ImportedRevocation {
  const { id, revocation, eventId, reason, actor, origin } = entry;
  return {
    eventId: uuidOf(entry, eventId),
    revocation: withinBounds(revocation, nowMs),
    atMs: nowMs,
    reason: storable(reason),
    actor: storable(actor),
    entryId: id,
    breakGlass: origin === "break_glass",
  };
}

/**
 * An epoch so great that the user's could hardly rise beyond it is taken over as the greatest that may
 * be named. What it revokes besides was issued by now, and is revoked by a cut-off.
 */
function withinBounds(revocation: Revocation, nowMs: number): Revocation {
  if (revocation.kind !== "user_revoked" || (revocation.epoch ?? 0) <= NAMED_EPOCH_MAX) {
    return revocation;
  }
  const issuedBefore = Math.max(revocation.issuedBefore ?? 0, nextSecond(nowMs));
  return { ...revocation, epoch: NAMED_EPOCH_MAX, issuedBefore };
}

/** The same entry always gets the same UUID, so that it is imported once, however often it is read. */
function uuidOf({ revocation, atMs }: RecordedRevocation, eventId: string | undefined): string {
  if (eventId !== undefined && UUID.test(eventId)) return eventId.toLowerCase();
  const about = [eventId, atMs, Object.entries(revocation)];
  const hash = createHash("sha256").update(JSON.stringify(about)).digest("hex");
  // RFC 9562, version 8: made in a way of one's own.
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`];
  return [...parts, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join("-");
}

/** PostgreSQL's text cannot hold NUL, and nobody reads the rest of a book. */
function storable(text: string | undefined): string | undefined {
  return text?.slice(0, TEXT_MAX_LENGTH).replaceAll("\0", "\uFFFD").toWellFormed();
}
