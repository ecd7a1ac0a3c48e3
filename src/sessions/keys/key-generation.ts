import { createPublicKey, generateKeyPair } from "node:crypto";
import type { Algorithm } from "../../tokens/algorithms.js";
import { type PublicJwk, publicJwkOf } from "./public-jwk.js";

export interface GeneratedKey {
  readonly algorithm: Algorithm;
  /** Its `kid` is the key's thumbprint, so no two keys share one. */
  readonly publicJwk: PublicJwk;
  /** PKCS #8 as PEM. */
  readonly privateKey: string;
}

const RSA_MODULUS_BITS = 2048;

const ENCODINGS = {
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
} as const;

/**
 * Generates a key pair in the thread pool. It goes through PEM, because Node 20 can deadlock when a
 * freshly generated key is exported as a JWK while the garbage collector frees the job behind it.
 */
export async function generateSigningKey(algorithm: Algorithm): Promise<GeneratedKey> {
  const { publicKey, privateKey } = await generatePem(algorithm);
  return { algorithm, publicJwk: publicJwkOf(createPublicKey(publicKey), algorithm), privateKey };
}

interface PemPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

function generatePem(algorithm: Algorithm): Promise<PemPair> {
  return new Promise((resolve, reject) => {
    const settle = (error: Error | null, publicKey: string, privateKey: string): void => {
      if (error === null) resolve({ publicKey, privateKey });
      else reject(error);
    };
    switch (algorithm) {
      case "ES256":
        generateKeyPair("ec", { namedCurve: "P-256", ...ENCODINGS }, settle);
        return;
      case "RS256":
      case "PS256":
        generateKeyPair("rsa", { modulusLength: RSA_MODULUS_BITS, ...ENCODINGS }, settle);
        return;
      case "EdDSA":
        generateKeyPair("ed25519", ENCODINGS, settle);
    }
  });
}
