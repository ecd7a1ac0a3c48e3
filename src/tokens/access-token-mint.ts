import { type CryptoKey, importPKCS8, SignJWT } from "jose";
import type { Algorithm } from "./algorithms.js";

/** RFC 9068, section 2.1. */
export const ACCESS_TOKEN_TYP = "at+jwt";

/**
 * The audience of a token for this service only: no sidecar accepts it for the APIs behind it, on any
 * route.
 */
export const SERVICE_AUDIENCE = "urn:sekisho:sessions";

/** The content of a new access token (RFC 9068, section 2.2, and Sekisho's own claims). */
export interface TokenFacts {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly epoch: number;
  readonly scopes: readonly string[];
  /** Not for the APIs: a session that has to replace its one-time password first. */
  readonly forServiceOnly?: boolean;
  /** Unix seconds; taken before the epoch was read, under lock. */
  readonly issuedAtS: number;
}

/** A key that can only sign: it cannot be exported again. */
export interface MintingKey {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly privateKey: CryptoKey;
}

export interface TokenTerms {
  readonly issuer: string;
  readonly audience: string;
  readonly lifetimeS: number;
}

/**
 * @param pem PKCS #8
 * @throws an error of jose or WebCrypto where it is no private key for that algorithm
 */
export async function readMintingKey(
  kid: string,
  algorithm: Algorithm,
  pem: string,
): Promise<MintingKey> {
  return { kid, algorithm, privateKey: await importPKCS8(pem, algorithm) };
}

/** @param tokenId the `jti`: a new one for every token */
export function mintAccessToken(
  facts: TokenFacts,
  key: MintingKey,
  terms: TokenTerms,
  tokenId: string,
): Promise<string> {
  return new SignJWT({
    iss: terms.issuer,
    aud: facts.forServiceOnly === true ? SERVICE_AUDIENCE : terms.audience,
    sub: facts.user,
    iat: facts.issuedAtS,
    exp: facts.issuedAtS + terms.lifetimeS,
    jti: tokenId,
    tenant_id: facts.tenant,
    user_id: facts.user,
    session_id: facts.session,
    user_epoch: facts.epoch,
    ...(facts.scopes.length === 0 ? {} : { scope: facts.scopes.join(" ") }),
  })
    .setProtectedHeader({ alg: key.algorithm, typ: ACCESS_TOKEN_TYP, kid: key.kid })
    .sign(key.privateKey);
}
