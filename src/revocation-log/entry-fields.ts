/** An entry's fields as they are written into the log, without `seq`, `at` and `forget_at`. */
import { ENTRY_VERSION, unreadableField, type EntryOrigin, type Revocation } from "./entry.js";

export interface EntryContent {
  readonly revocation: Revocation;
  readonly eventId: string | undefined;
  readonly reason: string | undefined;
  readonly actor: string | undefined;
  readonly origin: EntryOrigin | undefined;
}

/** Alternating names and values, without those that are undefined. */
export function entryFields(content: EntryContent): readonly string[] {
  const { revocation, eventId, reason, actor, origin } = content;
  const fields = {
    v: ENTRY_VERSION,
    kind: revocation.kind,
    tenant: revocation.tenant,
    user: revocation.user,
    ...(revocation.kind === "session_revoked"
      ? { session: revocation.session }
      : { epoch: revocation.epoch, issued_before: revocation.issuedBefore }),
    event_id: eventId,
    reason,
    actor,
    origin,
  };
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  );
}

const ID = "1 to 256 characters of well-formed Unicode without control characters";
const ALLOWED: Readonly<Record<string, string>> = {
  tenant: ID,
  user: ID,
  session: ID,
  epoch: "a whole number from 0 to 2^53−1",
  issued_before: "whole seconds since 1970",
  at: "whole milliseconds since 1970",
};

/**
 * Why no node could read an entry with this content, decided at `atMs`; undefined: they can. Checked
 * before anything is written: what nodes cannot read makes a tenant uncertain, or all of them.
 */
export function whyUnreadable(content: EntryContent, atMs: number): string | undefined {
  const pairs = entryFields(content);
  const fields: Record<string, string> = { seq: "1", at: String(atMs), forget_at: "1" };
  for (let i = 0; i + 1 < pairs.length; i += 2) fields[pairs[i] ?? ""] = pairs[i + 1] ?? "";
  const field = unreadableField(fields);
  if (field === undefined) return undefined;
  return `no node could read \`${field}\`: allowed are ${ALLOWED[field] ?? "other values"}`;
}
