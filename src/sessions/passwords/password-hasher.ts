/** Turns passwords into what may be stored, and tells whether a password is the one stored. */
export interface PasswordHasher {
  /**
   * A PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`) with a fresh salt.
   *
   * @throws RangeError for a password that `passwordFaults` refuses as malformed or far too long
   * @throws PasswordHasherError
   */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` is the one that `hash` was made of, whatever the cost it was made with.
   *
   * Where there is no hash (an unknown user) or the password could never have been stored, the same
   * work is done with the configured cost and the answer is false, so that the time taken does not
   * tell whether the user exists. It does tell for a hash that was made with another cost, until it
   * is made anew (`needsRehash`).
   *
   * @throws PasswordHasherError
   */
  verify(hash: string | undefined, password: string): Promise<boolean>;
  /** Whether a hash was made in another way or with another cost than a new one would be. */
  needsRehash(hash: string): boolean;
  /** Calls that are not settled yet, whether at work or waiting for their turn. */
  readonly pending: number;
  /** Calls that wait for their turn. */
  readonly queued: number;
  /** Refuses whatever waits or comes from now on; settled once the work that has begun is done. */
  close(): Promise<void>;
}

/**
 * - `queue_full`: too many wait, or one waited too long. The system's fault; worth trying again.
 * - `closed`: the hasher is shutting down.
 * - `hash_unreadable`: what was stored is no hash, or asks for more work than is ever done.
 * - `hashing_failed`: the work itself failed, as where there is no memory left.
 */
export type PasswordHasherErrorCode =
  "queue_full" | "closed" | "hash_unreadable" | "hashing_failed";

/** Never says anything about the password or the hash. */
export class PasswordHasherError extends Error {
  override readonly name = "PasswordHasherError";
  readonly code: PasswordHasherErrorCode;

  constructor(code: PasswordHasherErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
