import { DatabaseError } from "../database/database.js";
import { SigningKeyError } from "../keys/signing-key-error.js";
import { PasswordHasherError } from "../passwords/password-hasher.js";

/** The system's side of a failure, apart from the user's: which part was not there. */
export type SystemFault = "database" | "hashing_queue" | "keys" | "internal";

/** `internal`: nothing that passes by itself, so somebody has to look. */
export function faultOf(error: unknown): SystemFault {
  if (error instanceof DatabaseError) {
    return error.code === "unavailable" ? "database" : "internal";
  }
  if (error instanceof PasswordHasherError) {
    return error.code === "queue_full" || error.code === "closed" ? "hashing_queue" : "internal";
  }
  return error instanceof SigningKeyError ? "keys" : "internal";
}
