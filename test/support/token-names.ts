import type { TokenNames } from "../../src/tokens/access-token.js";

/** Of a token that nothing revokes but what names its tenant, user or session. */
export function tokenNames(
  tenant: string,
  user: string,
  session: string,
  parts: Partial<TokenNames> = {},
): TokenNames {
  return {
    tenant,
    user,
    session,
    issuer: "https://issuer.example",
    jti: undefined,
    client: undefined,
    signedDigest: "d".repeat(43),
    keyThumbprint: "k".repeat(43),
    ...parts,
  };
}
