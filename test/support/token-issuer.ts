import { Buffer } from "node:buffer";
import { constants, createHash, type KeyObject, sign } from "node:crypto";
import {
  makeEcKeyPair,
  makeEd25519KeyPair,
  makeRsaKeyPair,
  type KeyPair,
} from "../../dev/key-pair.js";
import type { Algorithm } from "../../src/tokens/algorithms.js";

/*
 * An issuer for tests. It signs with node:crypto and not with jose, so that what verifies the
 * tokens is not what made them, and so that every part of a token can be made wrong.
 */

export type JsonMembers = Readonly<Record<string, unknown>>;

export interface TokenIssuerOptions {
  readonly algorithm?: Algorithm;
  readonly kid?: string;
  readonly issuer?: string;
  readonly audience?: string;
  /** Used for tokens whose claims say no other `iat` or `exp`. Default: now. */
  readonly nowSeconds?: () => number;
  readonly rsaBits?: number;
}

/** What a token shall have instead of the ordinary; a member set to undefined is left out. */
export interface TokenOptions {
  readonly header?: JsonMembers;
  readonly claims?: JsonMembers;
  /** The whole header or payload before base64url: text that need not be JSON, or bytes. */
  readonly headerText?: string | Uint8Array;
  readonly payloadText?: string | Uint8Array;
  /** The encoded parts themselves, signed as they stand. */
  readonly headerPart?: string;
  readonly payloadPart?: string;
  /** Signs what is to be signed; default: properly, with this issuer's key. */
  readonly signature?: (input: Buffer) => Uint8Array;
}

export const TOKEN_LIFETIME_S = 300;

export function base64url(content: string | Uint8Array): string {
  return Buffer.from(content).toString("base64url");
}

/** RFC 7638, section 3: the required members in the order of their names, hashed by SHA-256. */
export function thumbprintOf(jwk: JsonMembers): string {
  const required = ["crv", "e", "kty", "n", "x", "y"].filter((name) => Object.hasOwn(jwk, name));
  const members = Object.fromEntries(required.map((name) => [name, jwk[name]]));
  return createHash("sha256").update(JSON.stringify(members)).digest("base64url");
}

export class TokenIssuer {
  readonly algorithm: Algorithm;
  readonly kid: string;
  readonly issuer: string;
  readonly audience: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly #nowSeconds: () => number;

  constructor(options: TokenIssuerOptions = {}) {
    this.algorithm = options.algorithm ?? "ES256";
    this.kid = options.kid ?? "key-1";
    this.issuer = options.issuer ?? "https://issuer.example";
    this.audience = options.audience ?? "https://api.example";
    this.#nowSeconds = options.nowSeconds ?? (() => Math.floor(Date.now() / 1000));
    const pair = makeKeyPair(this.algorithm, options.rsaBits ?? 2048);
    this.privateKey = pair.privateKey;
    this.publicKey = pair.publicKey;
  }

  /** The public key as a JWK (RFC 7517), with members replaced or, where undefined, left out. */
  jwk(members: JsonMembers = {}): JsonMembers {
    const { kid, algorithm } = this;
    const jwk = { ...this.publicKey.export({ format: "jwk" }), kid, use: "sig", alg: algorithm };
    return defined({ ...jwk, ...members });
  }

  /** The private key as a JWK, which belongs in no key set. */
  privateJwk(): JsonMembers {
    return { ...this.jwk(), ...this.privateKey.export({ format: "jwk" }) };
  }

  /** A key set of this issuer's key and those of others. */
  jwks(...others: readonly TokenIssuer[]): { keys: JsonMembers[] } {
    return { keys: [this, ...others].map((issuer) => issuer.jwk()) };
  }

  header(members: JsonMembers = {}): JsonMembers {
    return defined({ alg: this.algorithm, typ: "at+jwt", kid: this.kid, ...members });
  }

  claims(members: JsonMembers = {}): JsonMembers {
    const now = this.#nowSeconds();
    return defined({
      iss: this.issuer,
      aud: this.audience,
      sub: "user-1",
      iat: now,
      exp: now + TOKEN_LIFETIME_S,
      tenant_id: "tenant-1",
      user_id: "user-1",
      session_id: "session-1",
      user_epoch: 0,
      ...members,
    });
  }

  /** A token with these claims, everything else being ordinary. */
  mint(claims: JsonMembers = {}): string {
    return this.mintFrom({ claims });
  }

  mintFrom(parts: TokenOptions): string {
    const headerText = parts.headerText ?? JSON.stringify(this.header(parts.header));
    const payloadText = parts.payloadText ?? JSON.stringify(this.claims(parts.claims));
    const headerPart = parts.headerPart ?? base64url(headerText);
    const payloadPart = parts.payloadPart ?? base64url(payloadText);
    const input = Buffer.from(`${headerPart}.${payloadPart}`);
    const signature = (parts.signature ?? this.sign)(input);
    return `${headerPart}.${payloadPart}.${base64url(signature)}`;
  }

  /** Signs as the algorithm says (RFC 7518, sections 3.3–3.5; RFC 8037, section 3.1). */
  readonly sign = (input: Buffer): Uint8Array => {
    const key = this.privateKey;
    switch (this.algorithm) {
      case "ES256":
        return sign("sha256", input, { key, dsaEncoding: "ieee-p1363" });
      case "RS256":
        return sign("sha256", input, key);
      case "PS256":
        return sign("sha256", input, {
          key,
          padding: constants.RSA_PKCS1_PSS_PADDING,
          saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
        });
      case "EdDSA":
        return sign(null, input, key);
    }
  };
}

function makeKeyPair(algorithm: Algorithm, rsaBits: number): KeyPair {
  switch (algorithm) {
    case "ES256":
      return makeEcKeyPair("P-256");
    case "RS256":
    case "PS256":
      return makeRsaKeyPair(rsaBits);
    case "EdDSA":
      return makeEd25519KeyPair();
  }
}

function defined(members: JsonMembers): JsonMembers {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
