import type { AccessToken } from "./access-token.js";
import type { Issuer } from "./issuer.js";

export interface ClaimLimits {
  readonly clockSkewS: number;
  readonly maxTokenLifetimeS: number;
}

export type ClaimFault =
  "token_audience_mismatch" | "token_expired" | "token_not_yet_valid" | "token_lifetime_exceeded";

/**
 * Rule 6 of the decision. RFC 7519, sections 4.1.3 to 4.1.6; the skew is granted on every comparison.
 *
 * @param nowS Unix seconds, with fractions
 */
export function faultOfClaims(
  token: AccessToken,
  issuer: Issuer,
  nowS: number,
  { clockSkewS, maxTokenLifetimeS }: ClaimLimits,
): ClaimFault | undefined {
  if (!token.audience.includes(issuer.audience)) return "token_audience_mismatch";
  if (nowS >= token.expiresAt + clockSkewS) return "token_expired";
  if (token.issuedAt > nowS + clockSkewS) return "token_not_yet_valid";
  if (token.notBefore !== undefined && token.notBefore > nowS + clockSkewS) {
    return "token_not_yet_valid";
  }
  // It could outlive its revocation.
  if (token.expiresAt - token.issuedAt > maxTokenLifetimeS) return "token_lifetime_exceeded";
  return undefined;
}
