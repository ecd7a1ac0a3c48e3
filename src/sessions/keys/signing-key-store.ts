import type { Algorithm } from "../../tokens/issuer.js";
import type { RotatedKey } from "./key-rotation.js";
import type { PublicJwk } from "./public-jwk.js";

/** A row of `signing_keys`. */
export interface StoredSigningKey extends RotatedKey {
  readonly algorithm: Algorithm;
  readonly publicJwk: PublicJwk;
  /** An envelope of `key-encryption.ts`. */
  readonly sealedPrivateKey: Uint8Array;
}

export interface SigningKeyChanges {
  readonly create: readonly StoredSigningKey[];
  readonly extend: readonly { readonly kid: string; readonly publishedUntilMs: number }[];
  readonly reseal: readonly { readonly kid: string; readonly sealedPrivateKey: Uint8Array }[];
  /** The `kid`s of keys to remove. */
  readonly remove: readonly string[];
}

/** Where the instances of the service have their keys in common. */
export interface SigningKeyStore {
  /**
   * All keys, in no order. Rejects with a DatabaseError, or with a SigningKeyError
   * `key_unreadable` for a row that is no key.
   */
  load(): Promise<readonly StoredSigningKey[]>;
  /**
   * Changes the keys, one instance at a time: `decide` sees them as nobody else can change them
   * until its changes are there, wholly or not at all, with an audit row for each key created.
   * `decide` must be synchronous and may be called once only. Returns the keys as they are then.
   * Rejects as `load` does.
   *
   * @param atMs the time of the audit rows
   */
  change(
    atMs: number,
    decide: (stored: readonly StoredSigningKey[]) => SigningKeyChanges,
  ): Promise<readonly StoredSigningKey[]>;
}
