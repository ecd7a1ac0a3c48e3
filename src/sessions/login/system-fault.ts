import { DatabaseError } from "../database/database.js";
import { SigningKeyError } from "../keys/signing-key-error.js";
import { PasswordHasherError } from "../passwords/password-hasher.js";

/** The part of the system that failed, as opposed to the client's faults. */
export type SystemFault = "database" | "hashing_queue" | "keys" | "internal";

/** `internal`: will not pass by itself and needs investigation. */
export function faultOf(error: unknown): SystemFault {
  if (error instanceof DatabaseError) {
    return error.code === "unavailable" || error.code === "failed_over" ? "database" : "internal";
  }
  if (error instanceof PasswordHasherError) {
    return error.code === "queue_full" || error.code === "closed" ? "hashing_queue" : "internal";
  }
  return error instanceof SigningKeyError ? "keys" : "internal";
}
