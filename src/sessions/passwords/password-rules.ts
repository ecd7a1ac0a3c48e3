/**
 * The rules for a new password, after NIST SP 800-63B-4 §3.1.1.2: long enough, every character of
 * Unicode allowed and counted as one, no rules of composition ("one digit, one capital").
 *
 * Two things differ on purpose. The standard asks for 15 characters if a password is the only
 * factor and for 8 if there is another; whether there is one depends on the surrounding system, so
 * the minimum here lies between. And its blocklist of known passwords is left to the application
 * that takes the password from the user: only the account's login and user id are refused here.
 */
import { normalisedPassword } from "./password-form.js";

export const PASSWORD_MIN_CODE_POINTS = 12;
export const PASSWORD_MAX_CODE_POINTS = 256;

export type PasswordFault =
  | "password_too_short"
  | "password_too_long"
  /** Not well-formed Unicode. */
  | "password_malformed"
  /**
   * Contains a code point that this version of Unicode does not know. A later version may normalise
   * it differently, and the same password would no longer match (UAX #15 §12.1).
   */
  | "password_unassigned_character"
  | "password_is_login"
  | "password_is_user_id";

/** The account that the password is for. */
export interface PasswordOwner {
  readonly login: string;
  readonly userId: string;
}

/** Everything that is wrong with a new password; empty if it is acceptable. */
export function passwordFaults(password: string, owner: PasswordOwner): readonly PasswordFault[] {
  if (!password.isWellFormed()) return ["password_malformed"];
  const normalised = normalisedPassword(password);
  if (normalised === undefined) return ["password_too_long"];
  const faults: PasswordFault[] = [];
  const codePoints = Array.from(normalised).length;
  if (codePoints < PASSWORD_MIN_CODE_POINTS) faults.push("password_too_short");
  if (codePoints > PASSWORD_MAX_CODE_POINTS) faults.push("password_too_long");
  if (/\p{Cn}/u.test(normalised)) faults.push("password_unassigned_character");
  const folded = foldedCase(normalised);
  if (folded === foldedCase(owner.login)) faults.push("password_is_login");
  if (folded === foldedCase(owner.userId)) faults.push("password_is_user_id");
  return faults;
}

function foldedCase(text: string): string {
  return text.normalize("NFC").toLowerCase();
}
