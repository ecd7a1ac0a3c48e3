import type { Algorithm } from "../../tokens/algorithms.js";
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

/** The keys that all instances share. */
export interface SigningKeyStore {
  /**
   * All keys, in no particular order. Rejects with a DatabaseError, or with a SigningKeyError
   * `key_unreadable` for an invalid row.
   */
  load(): Promise<readonly StoredSigningKey[]>;
  /**
   * Changes the keys, one instance at a time: no other instance can change them between `decide`
   * and the commit. The changes are applied completely or not at all, with an audit row for each
   * created key. `decide` must be synchronous and is called at most once. Returns the keys
   * afterwards. Rejects as `load` does.
   *
   * @param atMs the time of the audit rows
   */
  change(
    atMs: number,
    decide: (stored: readonly StoredSigningKey[]) => SigningKeyChanges,
  ): Promise<readonly StoredSigningKey[]>;
}
