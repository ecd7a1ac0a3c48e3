/**
 * - `no_key`: there is no key to sign with: none was loaded yet, or the loaded ones are too old to
 *   continue with. The system's fault; can be retried.
 * - `overloaded`: too many signatures are waiting to be verified. The system's fault; can be
 *   retried.
 * - `secret_malformed`: the secret for encrypting keys is not 32 bytes long.
 * - `wrong_secret`: a stored key was encrypted with another secret.
 * - `key_unreadable`: a stored key is not valid.
 * - `schedule_impossible`: the times of the rotation contradict each other.
 */
export type SigningKeyErrorCode =
  | "no_key"
  | "overloaded"
  | "secret_malformed"
  | "wrong_secret"
  | "key_unreadable"
  | "schedule_impossible";

/** Its message never reveals anything of a private key or the secret. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
  readonly code: SigningKeyErrorCode;

  constructor(code: SigningKeyErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
