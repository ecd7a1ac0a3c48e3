/** The headers that tell the upstream who is calling. */
import type { AccessToken } from "../../tokens/access-token.js";

export const IDENTITY_HEADERS = {
  tenant: "x-auth-tenant-id",
  user: "x-auth-user-id",
  session: "x-auth-session-id",
} as const;

const PLAIN = /^[\x21-\x24\x26-\x7e]*$/;

/** Percent-encodes every byte outside 0x21–0x7E, and `%` itself; decodeURIComponent reads it. */
export function encodeHeaderValue(id: string): string {
  if (PLAIN.test(id)) return id;
  let encoded = "";
  for (const byte of Buffer.from(id, "utf8")) {
    const plain = byte >= 0x21 && byte <= 0x7e && byte !== 0x25;
    encoded += plain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Name and value of each identity header. */
export function identityHeaders(token: AccessToken): readonly (readonly [string, string])[] {
  return [
    [IDENTITY_HEADERS.tenant, encodeHeaderValue(token.tenant)],
    [IDENTITY_HEADERS.user, encodeHeaderValue(token.user)],
    [IDENTITY_HEADERS.session, encodeHeaderValue(token.session)],
  ];
}
