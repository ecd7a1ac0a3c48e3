/** The one conversion of what drizzle, node-postgres and PGlite throw into DatabaseErrors. */
import { DrizzleQueryError } from "drizzle-orm";
import { DatabaseError } from "./database.js";

/** PostgreSQL's classes of error (Appendix A of its manual) that mean: not now. */
const PASSING_CLASSES = ["08", "53", "57", "58", "40"];
/** lock_not_available: a lock was not had within lock_timeout. */
const LOCK_TIMEOUT = "55P03";
const UNIQUE_VIOLATION = "23505";
const FOREIGN_KEY_VIOLATION = "23503";
const INSUFFICIENT_PRIVILEGE = "42501";
const SQLSTATE = /^[0-9A-Z]{5}$/;

/** Errors that are not the database's (`work` threw them) are returned as they are. */
export function toDatabaseError(error: unknown): unknown {
  if (error instanceof DatabaseError) return error;
  const cause = innermost(error);
  if (!(cause instanceof Error)) return error;
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : undefined;
  const message = `database: ${cause.message}`;
  if (code !== undefined && SQLSTATE.test(code)) {
    return new DatabaseError(meaningOf(code), message, { cause, ...constraintOf(cause) });
  }
  if (isConnectionFault(cause, code)) {
    return new DatabaseError("unavailable", message, { cause });
  }
  return error instanceof DrizzleQueryError
    ? new DatabaseError("unexpected", message, { cause })
    : error;
}

function meaningOf(sqlState: string): DatabaseError["code"] {
  if (sqlState === UNIQUE_VIOLATION) return "unique";
  if (sqlState === FOREIGN_KEY_VIOLATION) return "missing_reference";
  if (sqlState === INSUFFICIENT_PRIVILEGE) return "not_allowed";
  if (sqlState === LOCK_TIMEOUT || PASSING_CLASSES.includes(sqlState.slice(0, 2))) {
    return "unavailable";
  }
  // 28: a refused password, 3D: no such database. Mended outside, while this program goes on.
  return sqlState.startsWith("28") || sqlState.startsWith("3D") ? "unavailable" : "unexpected";
}

/**
 * drizzle puts what happened into `cause` and the query with its parameters around it: those may be
 * secrets, so they are left behind here.
 */
function innermost(error: unknown): unknown {
  return error instanceof DrizzleQueryError && error.cause !== undefined ? error.cause : error;
}

function constraintOf(error: Error): { readonly constraint?: string } {
  return "constraint" in error && typeof error.constraint === "string"
    ? { constraint: error.constraint }
    : {};
}

/** Node's socket errors, and what node-postgres says without a code. */
function isConnectionFault(error: Error, code: string | undefined): boolean {
  if (code !== undefined && /^(E[A-Z]+|ERR_SOCKET.*)$/.test(code)) return true;
  return /connection (terminated|timeout|ended|error)|timeout exceeded when trying to connect|Client has encountered a connection error|not queryable|Query read timeout/i.test(
    error.message,
  );
}
