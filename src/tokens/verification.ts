import { compactVerify, type CryptoKey } from "jose";
import type { AccessToken } from "./access-token.js";
import { readClaims } from "./claims.js";
import { type CompactJws, parseCompactJws, TOKEN_MAX_BYTES } from "./compact-jws.js";
import type { IssuerKeys } from "./issuer-keys.js";
import type { Algorithm } from "./algorithms.js";
import type { Issuer } from "./issuer.js";
import { ownMember } from "../runtime/json-members.js";
import { signedDigestOf, tokenDigest, VerifiedTokenCache } from "./verified-token-cache.js";

/*
 * Whether a token is one of ours. The first check that fails, in this order, gives the reason:
 *
 *   form                  token_malformed
 *   issuer known          token_issuer_unknown       by the unverified `iss`, which only selects
 *                                                    whose keys and rules apply
 *   typ                   token_malformed
 *   algorithm allowed     token_algorithm_forbidden  by the issuer, never by the token
 *   a signature at all    token_malformed
 *   keys in use           keys_unavailable
 *   kid found             token_key_unknown
 *   its key fits          token_algorithm_forbidden
 *   room to wait          overloaded
 *   signature             token_signature_invalid
 *   claims                token_claims_invalid
 *
 * All but the last two are synchronous. A token that was good with the keys in use is cached, and
 * form and signature are then skipped. Audience, times, tenant and revocation are not checked here:
 * the decision does that on every request, for cached tokens too.
 */

export type TokenDenial =
  | "token_malformed"
  | "token_algorithm_forbidden"
  | "token_key_unknown"
  | "token_signature_invalid"
  | "token_issuer_unknown"
  | "token_claims_invalid"
  | "keys_unavailable"
  | "overloaded";

export type Verification =
  | { readonly verified: true; readonly token: AccessToken; readonly issuer: Issuer }
  | {
      readonly verified: false;
      readonly reason: TokenDenial;
      /** Whether the issuer signed the token, so that the answer may be specific. */
      readonly signatureGood: boolean;
    };

/** An issuer and its keys, which the caller starts and closes. */
export interface TrustedIssuer {
  readonly issuer: Issuer;
  readonly keys: Pick<IssuerKeys, "current" | "noteUnknownKid">;
}

export interface TokenVerifierOptions {
  /** No two with the same `issuer`. */
  readonly issuers: readonly TrustedIssuer[];
  readonly cacheMaxEntries: number;
  /** How many signatures may be waiting for their check at once. */
  readonly pendingMax: number;
  /** Called once per token that is looked up in the cache. */
  readonly onCache?: (result: "hit" | "miss") => void;
}

interface Candidate {
  readonly jws: CompactJws;
  readonly algorithm: Algorithm;
  readonly key: CryptoKey;
  readonly keyThumbprint: string;
  readonly trusted: TrustedIssuer;
  readonly generation: number;
}

export class TokenVerifier {
  readonly #issuers: ReadonlyMap<string, TrustedIssuer>;
  readonly #cache: VerifiedTokenCache<TrustedIssuer>;
  readonly #pendingMax: number;
  readonly #onCache: (result: "hit" | "miss") => void;
  /** The checks under way, by digest and generation: one token needs one check at a time. */
  readonly #pending = new Map<string, Promise<Verification>>();

  constructor(options: TokenVerifierOptions) {
    this.#issuers = new Map(options.issuers.map((trusted) => [trusted.issuer.issuer, trusted]));
    if (this.#issuers.size !== options.issuers.length) {
      throw new Error("Two issuers have the same name.");
    }
    this.#cache = new VerifiedTokenCache(options.cacheMaxEntries);
    this.#pendingMax = options.pendingMax;
    this.#onCache = options.onCache ?? (() => undefined);
  }

  /**
   * Verifies a token, synchronously where no signature has to be checked. Neither throws nor
   * rejects: a token that makes the check fail is denied.
   */
  verify(raw: string): Verification | Promise<Verification> {
    // Before the digest, so that a huge header costs nothing.
    if (raw.length > TOKEN_MAX_BYTES) return denied("token_malformed");
    const digest = tokenDigest(raw);
    const remembered = this.#recall(digest);
    this.#onCache(remembered === undefined ? "miss" : "hit");
    if (remembered !== undefined) return remembered;
    const candidate = this.#examine(raw);
    if ("verified" in candidate) return candidate;
    const check = `${candidate.generation} ${digest}`;
    const pending = this.#pending.get(check);
    if (pending !== undefined) return pending;
    if (this.#pending.size >= this.#pendingMax) return denied("overloaded");
    const verification = this.#checkSignature(raw, digest, candidate).finally(() => {
      this.#pending.delete(check);
    });
    this.#pending.set(check, verification);
    return verification;
  }

  /** The cached token, if the keys that verified it are in use. */
  #recall(digest: string): Verification | undefined {
    const entry = this.#cache.find(digest);
    if (entry === undefined) return undefined;
    const current = entry.issuer.keys.current();
    // Keys that are too old may be confirmed later, so the entry stays; `#examine` gives the reason.
    if (current === undefined) return undefined;
    if (current.generation !== entry.generation) {
      this.#cache.forget(digest);
      return undefined;
    }
    return { verified: true, token: entry.token, issuer: entry.issuer.issuer };
  }

  /** Every check before the signature. */
  #examine(raw: string): Candidate | Verification {
    const jws = parseCompactJws(raw);
    if (jws === undefined) return denied("token_malformed");
    const iss = ownMember(jws.claims, "iss");
    const trusted = typeof iss === "string" ? this.#issuers.get(iss) : undefined;
    if (trusted === undefined) return denied("token_issuer_unknown");
    if (!isTyp(jws.typ, trusted.issuer.typ)) return denied("token_malformed");
    const algorithm = trusted.issuer.algorithms.find((allowed) => allowed === jws.algorithm);
    if (algorithm === undefined) return denied("token_algorithm_forbidden");
    if (!jws.signed) return denied("token_malformed");
    const current = trusted.keys.current();
    if (current === undefined) return denied("keys_unavailable");
    if (jws.kid === undefined) return denied("token_key_unknown");
    const found = current.find(jws.kid);
    if (found === undefined) {
      trusted.keys.noteUnknownKid();
      return denied("token_key_unknown");
    }
    const key = found.byAlgorithm.get(algorithm);
    if (key === undefined) return denied("token_algorithm_forbidden");
    const { generation } = current;
    return { jws, algorithm, key, keyThumbprint: found.thumbprint, trusted, generation };
  }

  async #checkSignature(raw: string, digest: string, candidate: Candidate): Promise<Verification> {
    const { jws, algorithm, key, keyThumbprint, trusted, generation } = candidate;
    try {
      await compactVerify(raw, key, { algorithms: [algorithm] });
    } catch {
      // Whatever failed in jose, the signature was not verified.
      return denied("token_signature_invalid");
    }
    const token = readClaims(jws.claims, trusted.issuer, {
      signedDigest: signedDigestOf(raw),
      keyThumbprint,
    });
    if (token === undefined) {
      return { verified: false, reason: "token_claims_invalid", signatureGood: true };
    }
    this.#cache.remember(digest, { token, issuer: trusted, generation });
    return { verified: true, token, issuer: trusted.issuer };
  }
}

/**
 * Whether the header's `typ` is the expected one. Media type names are case-insensitive (RFC 6838,
 * section 4.2), and `application/` may be left out (RFC 7515, section 4.1.9; RFC 9068, section 2.1).
 */
function isTyp(typ: string | undefined, expected: string): boolean {
  const wanted = expected.toLowerCase();
  const actual = typ?.toLowerCase();
  return actual === wanted || actual === `application/${wanted}`;
}

function denied(reason: TokenDenial): Verification {
  return { verified: false, reason, signatureGood: false };
}
