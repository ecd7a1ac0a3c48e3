import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { AccessToken } from "./access-token.js";

/** A token whose form, signature and claims were good with one generation of its issuer's keys. */
export interface VerifiedToken<I> {
  readonly token: AccessToken;
  readonly issuer: I;
  readonly generation: number;
}

/**
 * Identifies a token without storing it: SHA-256 of the whole token, signature included, so that no
 * part of one is ever recognised.
 *
 * As UTF-8, never as latin1, which drops the high byte of a character: a text that is no token could
 * have the digest of one.
 */
export function tokenDigest(raw: string): string {
  return createHash("sha256").update(raw, "utf8").digest("base64");
}

/**
 * Identifies what was signed (RFC 7515, section 5.1: `header.payload`), in base64url. The holder of a
 * token can alter its signature without making it invalid (an ECDSA signature has two forms), but not
 * this.
 */
export function signedDigestOf(raw: string): string {
  const signed = raw.slice(0, raw.lastIndexOf("."));
  return createHash("sha256").update(signed, "utf8").digest("base64url");
}

/** An ordinary token has no more scopes and audiences; every further lot counts as a token. */
const ORDINARY_LIST_LENGTH = 16;

/**
 * Caches verified tokens by digest, at most `entriesMax` (fewer with many scopes or audiences, so
 * that memory is bounded, not only the number); the least recently used is evicted first. It holds no
 * raw token, and decides nothing: times, tenant and revocation are checked on every request.
 *
 * @typeParam I the issuer as the caller knows it.
 */
export class VerifiedTokenCache<I> {
  readonly #entries: LRUCache<string, VerifiedToken<I>>;

  constructor(entriesMax: number) {
    this.#entries = new LRUCache({
      max: entriesMax,
      maxSize: entriesMax,
      sizeCalculation: ({ token: { scopes, audience } }) =>
        1 + Math.floor((scopes.size + audience.length) / ORDINARY_LIST_LENGTH),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The token of this digest, whatever the generation of keys it was verified with. */
  find(digest: string): VerifiedToken<I> | undefined {
    return this.#entries.get(digest);
  }

  remember(digest: string, verified: VerifiedToken<I>): void {
    this.#entries.set(digest, verified);
  }

  forget(digest: string): void {
    this.#entries.delete(digest);
  }
}
