import type { AccessToken } from "../tokens/access-token.js";
import type { TokenFacts } from "../tokens/access-token-mint.js";

export type { TokenFacts } from "../tokens/access-token-mint.js";

export interface AccessTokenMint {
  /** Rejects with a SigningKeyError `no_key` where there is none to sign with. */
  mint(facts: TokenFacts): Promise<{ readonly token: string; readonly expiresInS: number }>;
}

export interface OwnTokenVerifier {
  /**
   * The token's claims if it is one of ours: form, signature, issuer, audience, times. Says nothing
   * about revocation. undefined for a token that is refused; rejects with a SigningKeyError where
   * that cannot be told (`no_key`, `overloaded`).
   */
  verify(token: string): Promise<AccessToken | undefined>;
}
