import { createPrivateKey, createPublicKey } from "node:crypto";
import { type MintingKey, readMintingKey } from "../../tokens/access-token-mint.js";
import { readJsonWebKey, type VerificationKey } from "../../tokens/json-web-key.js";
import { type KeySecrets, openPrivateKey, sealPrivateKey } from "./key-encryption.js";
import { inOrder, type RotatedKey } from "./key-rotation.js";
import { type PublicJwk, publicJwkOf } from "./public-jwk.js";
import { SigningKeyError } from "./signing-key-error.js";
import type { StoredSigningKey } from "./signing-key-store.js";

/** A stored key, decrypted and verified against its row. */
export interface ReadableKey extends RotatedKey {
  readonly publicJwk: PublicJwk;
  readonly minting: MintingKey;
  readonly verification: VerificationKey;
  readonly sealedPrivateKey: Uint8Array;
  /** To be stored instead, if the key is still encrypted with the previous secret. */
  readonly resealed: Uint8Array | undefined;
}

/**
 * Decrypts a stored key. The public key is derived from the private one, never read from the row:
 * an attacker who can write to the database, but lacks the secret, cannot have a key published.
 *
 * @throws {SigningKeyError} `wrong_secret`, `key_unreadable`
 */
async function readStoredKey(stored: StoredSigningKey, secrets: KeySecrets): Promise<ReadableKey> {
  const { kid, algorithm, sealedPrivateKey } = stored;
  const { privateKey, outdated } = openPrivateKey(sealedPrivateKey, stored, secrets);
  try {
    const publicJwk = publicJwkOf(createPublicKey(createPrivateKey(privateKey)), algorithm);
    const read = await readJsonWebKey(publicJwk, [algorithm]);
    if (!read.usable) throw new Error(read.why);
    if (publicJwk.kid !== kid) throw new Error("it has another key's kid");
    return {
      ...timesOf(stored),
      publicJwk,
      minting: await readMintingKey(kid, algorithm, privateKey),
      verification: read.key,
      sealedPrivateKey,
      resealed: outdated ? sealPrivateKey(privateKey, stored, secrets.secret) : undefined,
    };
  } catch {
    // The original error may quote the key, so it is dropped.
    throw new SigningKeyError("key_unreadable", `the signing key ${kid} is not a usable key`);
  }
}

/** Decrypts those that are not `known` yet. In the order in which they sign. */
export async function readStoredKeys(
  stored: readonly StoredSigningKey[],
  known: readonly ReadableKey[],
  secrets: KeySecrets,
): Promise<readonly ReadableKey[]> {
  const byKid = new Map(known.map((key) => [key.kid, key]));
  const read = stored.map(
    async (key) => withTimesOf(byKid.get(key.kid), key) ?? readStoredKey(key, secrets),
  );
  return inOrder(await Promise.all(read));
}

/** The same key if only its times have changed; undefined if it has to be read again. */
export function withTimesOf(
  read: ReadableKey | undefined,
  stored: StoredSigningKey,
): ReadableKey | undefined {
  if (read === undefined || read.minting.algorithm !== stored.algorithm) return undefined;
  if (Buffer.compare(read.sealedPrivateKey, stored.sealedPrivateKey) !== 0) return undefined;
  return { ...read, ...timesOf(stored) };
}

function timesOf(stored: StoredSigningKey): RotatedKey {
  const { kid, createdAtMs, signsFromMs, signsUntilMs, publishedUntilMs } = stored;
  return { kid, createdAtMs, signsFromMs, signsUntilMs, publishedUntilMs };
}
