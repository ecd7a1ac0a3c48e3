/**
 * Fresh key pairs, made via PEM.
 *
 * Node 20 can deadlock when a key is exported as a JWK: the export holds the key's mutex, and if the
 * garbage collector destroys the job that generated the key at that very moment, its destructor waits
 * for the same mutex on the same thread. A key that was read from PEM belongs to no job.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function makeEcKeyPair(namedCurve: "P-256" | "P-384"): KeyPair {
  const pem = generateKeyPairSync("ec", {
    namedCurve,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return readPem(pem.publicKey, pem.privateKey);
}

export function makeRsaKeyPair(modulusLength: number): KeyPair {
  const pem = generateKeyPairSync("rsa", {
    modulusLength,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return readPem(pem.publicKey, pem.privateKey);
}

export function makeEd25519KeyPair(): KeyPair {
  const pem = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return readPem(pem.publicKey, pem.privateKey);
}

function readPem(publicKey: string, privateKey: string): KeyPair {
  return { publicKey: createPublicKey(publicKey), privateKey: createPrivateKey(privateKey) };
}
