/**
 * - `no_key`: there is no key to sign with now: none was loaded yet, or what was loaded is too old to
 *   go on signing with. The system's fault; worth trying again.
 * - `overloaded`: too many signatures wait for their check. The system's fault; worth trying again.
 * - `secret_malformed`: the secret that keys are encrypted with is not 32 bytes.
 * - `wrong_secret`: a stored key was encrypted with another secret.
 * - `key_unreadable`: a stored key is not what it has to be.
 * - `schedule_impossible`: the rotation's times contradict each other.
 */
export type SigningKeyErrorCode =
  | "no_key"
  | "overloaded"
  | "secret_malformed"
  | "wrong_secret"
  | "key_unreadable"
  | "schedule_impossible";

/** Never says anything about a private key or the secret. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
  readonly code: SigningKeyErrorCode;

  constructor(code: SigningKeyErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
