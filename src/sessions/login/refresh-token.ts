/**
 * Refresh tokens: `skr1.<tenant>.<secret>`, the tenant's id in UTF-8 and 256 random bits, both in
 * base64url. The tenant is in it because nothing is read without one (row security). It is no proof
 * of anything: the token is looked up by the SHA-256 of its whole text, and only that is stored.
 */
import { createHash } from "node:crypto";
import { isIdentifier } from "../../tokens/identifier.js";
import { decodeBase64url } from "../../tokens/base64url.js";

/** Of this form; a later one has another name, and scanners for leaked secrets know it by it. */
const NAME = "skr1";
const SECRET_BYTES = 32;
/** A tenant's id has 256 code points of up to four bytes at most. */
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

/** undefined: no token of ours. There is one way to write each, so no two texts are the same token. */
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
  // Bytes that are no UTF-8 are decoded as U+FFFD, and then are not the same bytes any more.
  return isIdentifier(tenant) && Buffer.from(tenant, "utf8").equals(bytes) ? tenant : undefined;
}

function hashOf(token: string): Uint8Array {
  return createHash("sha256").update(token, "utf8").digest();
}
