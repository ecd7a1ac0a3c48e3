/**
 * Private keys as they are stored: AES-256-GCM (NIST SP 800-38D) with a secret from the
 * environment, so that a copy of the database is not enough to sign.
 *
 *      1 byte   version, 1
 *     12 bytes  nonce, random for every encryption
 *     16 bytes  tag
 *      …        the private key (PKCS #8 as PEM), encrypted
 *
 * `kid` and algorithm are authenticated too: an envelope moved to another row cannot be opened.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SigningKeyError } from "./signing-key-error.js";

export const SECRET_BYTES = 32;

const VERSION = 1;
const CIPHER = "aes-256-gcm";
/** 96 bits (SP 800-38D, section 8.2); with so few keys, random nonces will not collide. */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES;

/** A key's identity in its row. */
export interface KeyName {
  readonly kid: string;
  readonly algorithm: string;
}

export interface KeySecrets {
  /** Encrypts keys. */
  readonly secret: Uint8Array;
  /** May still decrypt keys, while the secret is being changed. */
  readonly previousSecret?: Uint8Array | undefined;
}

export interface OpenedEnvelope {
  readonly privateKey: string;
  /** Encrypted with the previous secret, so it has to be re-encrypted. */
  readonly outdated: boolean;
}

/** @throws {SigningKeyError} `secret_malformed` */
export function requireSecrets({ secret, previousSecret }: KeySecrets): void {
  for (const one of [secret, previousSecret ?? secret]) {
    if (one.byteLength !== SECRET_BYTES) {
      const message = `a secret for signing keys must have ${SECRET_BYTES} bytes, not ${one.byteLength}`;
      throw new SigningKeyError("secret_malformed", message);
    }
  }
}

/** @param privateKey PKCS #8 as PEM */
export function sealPrivateKey(privateKey: string, name: KeyName, secret: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(associatedData(name));
  const sealed = Buffer.concat([cipher.update(privateKey, "utf8"), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed]);
}

/**
 * @throws {SigningKeyError} `wrong_secret` if no secret opens it, also because the envelope was
 * changed; `key_unreadable` if the envelope has another version
 */
export function openPrivateKey(
  envelope: Uint8Array,
  name: KeyName,
  { secret, previousSecret }: KeySecrets,
): OpenedEnvelope {
  if (envelope[0] !== VERSION || envelope.byteLength <= HEAD_BYTES) {
    const message = `the signing key ${name.kid} is stored in a form that this version cannot read`;
    throw new SigningKeyError("key_unreadable", message);
  }
  const present = tryOpen(envelope, name, secret);
  if (present !== undefined) return { privateKey: present, outdated: false };
  const previous =
    previousSecret === undefined ? undefined : tryOpen(envelope, name, previousSecret);
  if (previous !== undefined) return { privateKey: previous, outdated: true };
  throw new SigningKeyError(
    "wrong_secret",
    `the signing key ${name.kid} cannot be decrypted: it was encrypted with another ` +
      "SEKISHO_SESSIONS_KEY_SECRET. Set the earlier secret again; to change it, set the old one as " +
      "SEKISHO_SESSIONS_KEY_SECRET_PREVIOUS for the time of the change",
  );
}

function tryOpen(envelope: Uint8Array, name: KeyName, secret: Uint8Array): string | undefined {
  const nonce = envelope.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, secret, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associatedData(name));
  decipher.setAuthTag(envelope.subarray(1 + NONCE_BYTES, HEAD_BYTES));
  const opened = decipher.update(envelope.subarray(HEAD_BYTES));
  try {
    return Buffer.concat([opened, decipher.final()]).toString("utf8");
  } catch {
    return undefined;
  }
}

/** As JSON, so that different names never give the same bytes. */
function associatedData({ kid, algorithm }: KeyName): Buffer {
  return Buffer.from(JSON.stringify(["sekisho signing key", VERSION, kid, algorithm]), "utf8");
}
