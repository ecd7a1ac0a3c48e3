/** An entry's fields as they are written into the log, without `seq`, `at` and `forget_at`. */
import { ENTRY_VERSION, unreadableField, type EntryOrigin, type Revocation } from "./entry.js";

export interface EntryContent {
  readonly revocation: Revocation;
  readonly eventId: string | undefined;
  readonly reason: string | undefined;
  readonly actor: string | undefined;
  readonly origin: EntryOrigin | undefined;
}

/** Where a field of the log has another name than in `Revocation`. */
const FIELD_NAMES: Readonly<Record<string, string>> = {
  issuedBefore: "issued_before",
  signedDigest: "signed_digest",
};

/** What an entry says about its revocation; `readRevocation` reads it. */
export function revocationFields(revocation: Revocation): Readonly<Record<string, string>> {
  return definedFields({ ...revocation });
}

/** Alternating names and values. */
export function entryFields(content: EntryContent): readonly string[] {
  return Object.entries(fieldsOf(content)).flat();
}

function fieldsOf(content: EntryContent): Readonly<Record<string, string>> {
  const { revocation, eventId, reason, actor, origin } = content;
  return {
    v: String(ENTRY_VERSION),
    ...revocationFields(revocation),
    ...definedFields({ event_id: eventId, reason, actor, origin }),
  };
}

function definedFields(
  members: Readonly<Record<string, string | number | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(members).flatMap(([name, value]) =>
      value === undefined ? [] : [[FIELD_NAMES[name] ?? name, String(value)]],
    ),
  );
}

const ID = "1 to 256 characters of well-formed Unicode without control characters";
const ALLOWED: Readonly<Record<string, string>> = {
  tenant: ID,
  user: ID,
  session: ID,
  epoch: "a whole number from 0 to 2^53−1",
  issued_before: "whole seconds since 1970",
  issuer: "1 to 2048 characters of well-formed Unicode without control characters",
  jti: `${ID}, or a signed_digest`,
  client: ID,
  signed_digest: "SHA-256 in base64url",
  thumbprint: "SHA-256 in base64url",
  at: "whole milliseconds since 1970",
};

/**
 * Why no node could read an entry with this content, decided at `atMs`; undefined: they can. Checked
 * before anything is written: what nodes cannot read makes a tenant uncertain, or all of them.
 */
export function whyUnreadable(content: EntryContent, atMs: number): string | undefined {
  const times = { at: String(atMs), forget_at: "1" };
  const field = unreadableField({ ...fieldsOf(content), seq: "1", ...times });
  if (field === undefined) return undefined;
  return `no node could read \`${field}\`: allowed are ${ALLOWED[field] ?? "other values"}`;
}
