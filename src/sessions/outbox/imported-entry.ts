/**
 * An entry found in the log, as a revocation for the database. Its values are made to fit the
 * tables: an entry that the tables refuse would block the import of all later ones.
 */
import { createHash } from "node:crypto";
import { nextSecond } from "../../runtime/clock.js";
import { NAMED_EPOCH_MAX } from "../../tokens/identifier.js";
import { endsSessionsByCutOff } from "./cut-offs-sql.js";
import type { Revocation } from "../../revocation-log/entry.js";
import type { RecordedRevocation } from "../../revocation-log/recorded-entry.js";
import type { DecidedRevocation } from "../../revocation-log/publisher.js";

export interface ImportedRevocation extends DecidedRevocation {
  readonly entryId: string;
  /** Published past the session service, according to the entry. */
  readonly breakGlass: boolean;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const TEXT_MAX_LENGTH = 512;

/**
 * It counts from `nowMs` (Unix milliseconds): until now the database did not know it, so what it
 * revokes could be refreshed, and it must be kept until the last of those tokens has expired.
 */
export function importedRevocation(entry: RecordedRevocation, nowMs: number): ImportedRevocation {
  const { id, revocation, eventId, reason, actor, origin } = entry;
  return {
    eventId: uuidOf(entry, eventId),
    revocation: countedFrom(revocation, nowMs),
    atMs: nowMs,
    reason: storable(reason),
    actor: storable(actor),
    entryId: id,
    breakGlass: origin === "break_glass",
  };
}

/**
 * A cut-off of a tenant, or of all, counts from now. An epoch so high that the user's could hardly
 * rise above it is stored as the highest that may be named; a cut-off revokes the tokens beyond it,
 * which were issued before now.
 */
function countedFrom(revocation: Revocation, nowMs: number): Revocation {
  if (endsSessionsByCutOff(revocation)) {
    const issuedBefore = Math.max(revocation.issuedBefore, nextSecond(nowMs));
    return { ...revocation, issuedBefore };
  }
  if (revocation.kind !== "user_revoked" || (revocation.epoch ?? 0) <= NAMED_EPOCH_MAX) {
    return revocation;
  }
  const issuedBefore = Math.max(revocation.issuedBefore ?? 0, nextSecond(nowMs));
  return { ...revocation, epoch: NAMED_EPOCH_MAX, issuedBefore };
}

/** The same entry always gets the same UUID, so it is imported once, however often it is read. */
function uuidOf({ revocation, atMs }: RecordedRevocation, eventId: string | undefined): string {
  if (eventId !== undefined && UUID.test(eventId)) return eventId.toLowerCase();
  const about = [eventId, atMs, Object.entries(revocation)];
  const hash = createHash("sha256").update(JSON.stringify(about)).digest("hex");
  // RFC 9562, version 8: a custom layout.
  const parts = [hash.slice(0, 8), hash.slice(8, 12), `8${hash.slice(13, 16)}`];
  return [...parts, `8${hash.slice(17, 20)}`, hash.slice(20, 32)].join("-");
}

/** PostgreSQL's text cannot contain NUL, and has a bound here. */
function storable(text: string | undefined): string | undefined {
  return text?.slice(0, TEXT_MAX_LENGTH).replaceAll("\0", "\uFFFD").toWellFormed();
}
