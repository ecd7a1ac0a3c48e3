import type { AccessToken } from "./access-token.js";
import { ACCESS_TOKEN_TYP, SERVICE_AUDIENCE } from "./access-token-mint.js";
import { type ClaimFault, type ClaimLimits, faultOfClaims } from "./claim-faults.js";
import { ALGORITHMS } from "./algorithms.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "./issuer.js";
import { type TokenDenial, TokenVerifier, type TrustedIssuer } from "./verification.js";

/** How many tokens are cached, and how many signatures may wait for their check at once. */
const CACHE_MAX_ENTRIES = 10_000;
const PENDING_MAX = 1000;

export interface OwnTokenVerificationOptions {
  readonly issuer: string;
  readonly audience: string;
  readonly limits: ClaimLimits;
  /** The keys that the tokens are signed with. */
  readonly keys: TrustedIssuer["keys"];
}

export type OwnVerification =
  | { readonly good: true; readonly token: AccessToken }
  | { readonly good: false; readonly reason: TokenDenial | ClaimFault };

/**
 * Verifies tokens that this service minted by the same rules as the sidecar (4 to 6 of the decision),
 * so that neither accepts what the other refuses; except tokens for this service only.
 */
export class OwnTokenVerification {
  readonly #issuer: Issuer;
  readonly #limits: ClaimLimits;
  readonly #verifier: TokenVerifier;

  constructor({ issuer, audience, limits, keys }: OwnTokenVerificationOptions) {
    this.#issuer = {
      issuer,
      audience,
      // For others; this service has the keys in memory.
      keyLocation: { kind: "url", url: `${issuer}/.well-known/jwks.json` },
      // Each key is for one of them only.
      algorithms: ALGORITHMS,
      typ: ACCESS_TOKEN_TYP,
      tenants: undefined,
      claims: DEFAULT_CLAIM_NAMES,
    };
    this.#limits = limits;
    this.#verifier = new TokenVerifier({
      issuers: [{ issuer: this.#issuer, keys }],
      cacheMaxEntries: CACHE_MAX_ENTRIES,
      pendingMax: PENDING_MAX,
    });
  }

  /** @param now Unix seconds with fractions, asked for after the signature was checked */
  async verify(raw: string, now: () => number): Promise<OwnVerification> {
    const verification = await this.#verifier.verify(raw);
    if (!verification.verified) return { good: false, reason: verification.reason };
    const { token } = verification;
    const forServiceOnly = token.audience.includes(SERVICE_AUDIENCE);
    const audience = forServiceOnly ? SERVICE_AUDIENCE : this.#issuer.audience;
    const fault = faultOfClaims(token, { ...this.#issuer, audience }, now(), this.#limits);
    return fault === undefined ? { good: true, token } : { good: false, reason: fault };
  }
}
