/**
 * Refresh tokens: `skr1.<tenant>.<secret>`, the tenant's id in UTF-8 and 256 random bits, both in
 * base64url. The tenant is included because every read needs one (row security). It proves nothing:
 * the token is looked up by the SHA-256 of its whole text, and only that hash is stored.
 */
import { createHash } from "node:crypto";
import { isIdentifier } from "../../tokens/identifier.js";
import { decodeBase64url } from "../../tokens/base64url.js";

/** The version of this format, by which scanners for leaked secrets recognise it. */
const NAME = "skr1";
const SECRET_BYTES = 32;
/** A tenant's id has at most 256 code points of up to four bytes. */
const LENGTH_MAX = NAME.length + 1 + Math.ceil((256 * 4 * 4) / 3) + 1 + 43;

export interface PresentedRefreshToken {
  readonly tenant: string;
  readonly hash: Uint8Array;
}

export function newRefreshToken(
  tenant: string,
  randomBytes: (size: number) => Uint8Array,
): { readonly token: string; readonly hash: Uint8Array } {
  const secret = Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
  const token = `${NAME}.${Buffer.from(tenant, "utf8").toString("base64url")}.${secret}`;
  return { token, hash: hashOf(token) };
}

/**
 * undefined: not a token of ours. Each has one spelling, so different texts are different tokens.
 */
export function parseRefreshToken(text: string): PresentedRefreshToken | undefined {
  if (text.length > LENGTH_MAX) return undefined;
  const [name, tenantPart, secretPart, ...rest] = text.split(".");
  if (name !== NAME || tenantPart === undefined || secretPart === undefined) return undefined;
  if (rest.length > 0 || decodeBase64url(secretPart)?.length !== SECRET_BYTES) return undefined;
  const tenant = decodedTenant(tenantPart);
  return tenant === undefined ? undefined : { tenant, hash: hashOf(text) };
}

function decodedTenant(part: string): string | undefined {
  const bytes = decodeBase64url(part);
  if (bytes === undefined) return undefined;
  const tenant = bytes.toString("utf8");
  // Invalid UTF-8 is decoded as U+FFFD, which does not encode to the same bytes.
  return isIdentifier(tenant) && Buffer.from(tenant, "utf8").equals(bytes) ? tenant : undefined;
}

function hashOf(token: string): Uint8Array {
  return createHash("sha256").update(token, "utf8").digest();
}
