import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { SignJWT } from "jose";

import { makeEcKeyPair } from "./key-pair.js";

/** Key id of the only key. */
const KEY_ID = "local-1";
const LIFETIME_S = 600;

export interface MintOptions {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly epoch: number;
  /** Unix seconds; now if left out. */
  readonly issuedAt?: number;
  readonly lifetimeS?: number;
  readonly scopes?: readonly string[];
}

/** An issuer for tests: one ES256 key pair whose public half is in a JWK Set file. */
export interface TokenMint {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksFile: string;
  mint(options: MintOptions): Promise<string>;
}

/** Makes a key pair and writes `jwks.json` into the folder. */
export async function createTokenMint(folder: string): Promise<TokenMint> {
  const issuer = "https://issuer.example";
  const audience = "https://api.example";
  const jwksFile = join(folder, "jwks.json");
  const { privateKey, publicKey } = makeEcKeyPair("P-256");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: KEY_ID, alg: "ES256", use: "sig" };
  await writeFile(jwksFile, JSON.stringify({ keys: [jwk] }));

  const mint = async (options: MintOptions): Promise<string> => {
    const issuedAt = options.issuedAt ?? Math.floor(Date.now() / 1000);
    return new SignJWT({
      tenant_id: options.tenant,
      user_id: options.user,
      session_id: options.session,
      user_epoch: options.epoch,
      ...(options.scopes === undefined ? {} : { scope: options.scopes.join(" ") }),
    })
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: KEY_ID })
      .setIssuer(issuer)
      .setAudience(audience)
      .setSubject(options.user)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + (options.lifetimeS ?? LIFETIME_S))
      .sign(privateKey);
  };
  return { issuer, audience, jwksFile, mint };
}
