/**
 * What names a token that is to be revoked. Nothing of it is verified: it may have expired, or be of
 * an issuer that is not known here, and its keys may be gone. So a revocation made from it must never
 * reach further than the rights of its caller.
 */
import { ownMember } from "../runtime/json-members.js";
import type { TokenNames } from "./access-token.js";
import { parseCompactJws } from "./compact-jws.js";
import { identifierIn, issuerNameSchema } from "./identifier.js";
import { DEFAULT_CLAIM_NAMES } from "./issuer.js";
import { signedDigestOf } from "./verified-token-cache.js";

export interface UnverifiedToken extends Pick<TokenNames, "issuer" | "jti" | "signedDigest"> {
  /** undefined: another claim may name it, by the issuer's entry on the nodes. */
  readonly tenant: string | undefined;
}

/** undefined: it has not the form of a token, or names no issuer, so that no node accepts it. */
export function readUnverifiedToken(raw: string): UnverifiedToken | undefined {
  const claims = parseCompactJws(raw)?.claims;
  if (claims === undefined) return undefined;
  const issuer = issuerNameSchema.safeParse(ownMember(claims, "iss"));
  if (!issuer.success) return undefined;
  return {
    tenant: identifierIn(ownMember(claims, DEFAULT_CLAIM_NAMES.tenant)),
    issuer: issuer.data,
    jti: identifierIn(ownMember(claims, "jti")),
    signedDigest: signedDigestOf(raw),
  };
}
