/**
 * Format 2 of the log's entries: one field, `v2`, in place of a dozen. What a node reads per entry is
 * then one string, and one JSON array with fixed places:
 *
 *   [seq, at, forget_at, kind, tenant or null, …]   the names of the kind follow, null where it has none
 *   {"event_id": …, "reason": …, …}                 on a second line: what only the record needs
 *
 * The tenant has a place of its own, so that an entry of an unknown kind says whom it concerns.
 */
import { z } from "zod";
import { isIdentifier, isIssuerName } from "../tokens/identifier.js";
import type { EntryContent } from "./entry-fields.js";
import type { LogEntry, Revocation, RevocationKind } from "./entry.js";

export const PACKED_FIELD = "v2";

/** Those that this version reads and writes; 1 has a field for each name. */
export const LOG_FORMATS = [1, 2] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** What follows the times, which the script that writes the entry sets before it. */
export function packedTail({ revocation, eventId, reason, actor, origin }: EntryContent): string {
  const names = namesOf(revocation).map((name) => name ?? null);
  const record = JSON.stringify({ event_id: eventId, reason, actor, origin });
  return `${JSON.stringify([revocation.kind, ...names]).slice(1)}\n${record}`;
}

function namesOf(revocation: Revocation): readonly (string | number | undefined)[] {
  switch (revocation.kind) {
    case "session_revoked":
      return [revocation.tenant, revocation.session, revocation.user];
    case "user_revoked":
      return [revocation.tenant, revocation.user, revocation.epoch, revocation.issuedBefore];
    case "token_revoked":
      return [revocation.tenant, revocation.issuer, revocation.jti, revocation.signedDigest];
    case "client_revoked":
      return [revocation.tenant, revocation.client, revocation.issuedBefore];
    case "key_revoked":
      return [undefined, revocation.issuer, revocation.thumbprint];
    case "tenant_revoked":
      return [revocation.tenant, revocation.issuedBefore];
    case "all_revoked":
      return [undefined, revocation.issuedBefore];
  }
}

/**
 * Never throws: an entry that cannot be read becomes one of kind `unreadable`. Read by hand, because a
 * node that catches up does little else.
 */
export function decodePackedEntry(id: string, packed: string): LogEntry {
  const places = placesIn(packed);
  const [seq, atMs, forgetAtMs, kind, tenant] = places;
  if (!isWhole(seq)) return { kind: "unreadable", id, seq: undefined, scope: undefined };
  if (kind === "log_opened") return { kind, id, seq };
  const inTenant = isName(tenant);
  if (isWhole(forgetAtMs)) {
    const revocation = isWhole(atMs) ? revocationIn(places) : undefined;
    if (revocation !== undefined && isWhole(atMs)) {
      return { kind: "revocation", id, seq, revocation, atMs, forgetAtMs };
    }
    if (inTenant) return { kind: "unreadable", id, seq, scope: { tenant, forgetAtMs } };
  }
  return { kind: "unreadable", id, seq, scope: undefined };
}

/** The second line; nothing where there is none that can be read. */
export function packedRecord(packed: string): z.infer<typeof recordSchema> {
  const line = packed.slice(endOfPlaces(packed) + 1);
  try {
    return recordSchema.parse(JSON.parse(line));
  } catch {
    return {};
  }
}

const text = z.string().optional().catch(undefined);
const recordSchema = z.object({ event_id: text, reason: text, actor: text, origin: text });

function endOfPlaces(packed: string): number {
  const end = packed.indexOf("\n");
  return end === -1 ? packed.length : end;
}

function placesIn(packed: string): readonly unknown[] {
  try {
    const places: unknown = JSON.parse(packed.slice(0, endOfPlaces(packed)));
    return Array.isArray(places) ? places : [];
  } catch {
    return [];
  }
}

function revocationIn(places: readonly unknown[]): Revocation | undefined {
  const [, , , kind, ...names] = places;
  return typeof kind === "string" ? readers.get(kind)?.(names) : undefined;
}

/** What the names of each kind say: the tenant and what follows it. */
const READERS: Readonly<
  Record<RevocationKind, (names: readonly unknown[]) => Revocation | undefined>
> = {
  session_revoked: ([tenant, session, user]) => {
    if (!isName(tenant) || !isName(session) || !isAbsent(user, isName)) return undefined;
    return { kind: "session_revoked", tenant, session, user: user ?? undefined };
  },
  user_revoked: ([tenant, user, epoch, cutOff]) => {
    if (!isName(tenant) || !isName(user)) return undefined;
    if (!isAbsent(epoch, isWhole) || !isAbsent(cutOff, isWhole)) return undefined;
    if (epoch === null && cutOff === null) return undefined;
    const [raised, issuedBefore] = [epoch ?? undefined, cutOff ?? undefined];
    return { kind: "user_revoked", tenant, user, epoch: raised, issuedBefore };
  },
  token_revoked: ([tenant, issuer, id, digest]) => {
    if (!isName(tenant) || !isIssuer(issuer)) return undefined;
    if (!isAbsent(id, isName) || !isAbsent(digest, isSha256)) return undefined;
    if (id === null && digest === null) return undefined;
    const [jti, signedDigest] = [id ?? undefined, digest ?? undefined];
    return { kind: "token_revoked", tenant, issuer, jti, signedDigest };
  },
  client_revoked: ([tenant, client, issuedBefore]) => {
    if (!isAbsent(tenant, isName) || !isName(client) || !isWhole(issuedBefore)) return undefined;
    return { kind: "client_revoked", tenant: tenant ?? undefined, client, issuedBefore };
  },
  key_revoked: ([, issuer, thumbprint]) => {
    if (!isIssuer(issuer) || !isSha256(thumbprint)) return undefined;
    return { kind: "key_revoked", issuer, thumbprint };
  },
  tenant_revoked: ([tenant, issuedBefore]) => {
    if (!isName(tenant) || !isWhole(issuedBefore)) return undefined;
    return { kind: "tenant_revoked", tenant, issuedBefore };
  },
  all_revoked: ([, issuedBefore]) =>
    isWhole(issuedBefore) ? { kind: "all_revoked", issuedBefore } : undefined,
};

const readers = new Map(Object.entries(READERS));

const isName = (value: unknown): value is string =>
  typeof value === "string" && isIdentifier(value);
const isIssuer = (value: unknown): value is string =>
  typeof value === "string" && isIssuerName(value);
const isSha256 = (value: unknown): value is string =>
  typeof value === "string" && /^[A-Za-z0-9_-]{43}$/.test(value);
const isWhole = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

/** Left out, or as it has to be. */
function isAbsent<T>(value: unknown, is: (value: unknown) => value is T): value is T | null {
  return value === null || is(value);
}
