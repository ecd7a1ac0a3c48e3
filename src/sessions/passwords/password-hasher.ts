/** Hashes passwords for storage, and verifies passwords against stored hashes. */
export interface PasswordHasher {
  /**
   * A PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`) with a fresh salt.
   *
   * @throws RangeError for a password that `passwordFaults` refuses as malformed or far too long
   * @throws PasswordHasherError
   */
  hash(password: string): Promise<string>;
  /**
   * Whether `password` matches `hash`, whatever cost it was made with.
   *
   * If there is no hash (an unknown user), or the password could never have been stored, the same
   * work is done at the configured cost and the answer is false, so that the time does not reveal
   * whether the user exists. It does for a hash made with another cost, until that is renewed
   * (`needsRehash`).
   *
   * @throws PasswordHasherError
   */
  verify(hash: string | undefined, password: string): Promise<boolean>;
  /** Whether a hash was made with another variant or cost than new ones. */
  needsRehash(hash: string): boolean;
  /** Calls that are not settled yet, running or waiting. */
  readonly pending: number;
  /** Calls that are waiting. */
  readonly queued: number;
  /** Refuses waiting and new calls; settles once the running work is done. */
  close(): Promise<void>;
}

/**
 * - `queue_full`: too many are waiting, or one waited too long. The system's fault; can be retried.
 * - `closed`: the hasher is shutting down.
 * - `hash_unreadable`: what is stored is not a hash, or exceeds the allowed cost.
 * - `hashing_failed`: the work itself failed, for example for lack of memory.
 */
export type PasswordHasherErrorCode =
  "queue_full" | "closed" | "hash_unreadable" | "hashing_failed";

/** Its message never reveals anything of the password or the hash. */
export class PasswordHasherError extends Error {
  override readonly name = "PasswordHasherError";
  readonly code: PasswordHasherErrorCode;

  constructor(code: PasswordHasherErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
