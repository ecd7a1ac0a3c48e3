/** The one conversion of what drizzle, node-postgres and PGlite throw into DatabaseErrors. */
import { isNativeError } from "node:util/types";
import { DrizzleQueryError } from "drizzle-orm";
import { DatabaseError, type DatabaseErrorCode } from "./database.js";

const MEANINGS: Readonly<Record<string, DatabaseErrorCode>> = {
  // unique_violation, foreign_key_violation, insufficient_privilege
  "23505": "unique",
  "23503": "missing_reference",
  "42501": "not_allowed",
  // lock_not_available: no lock within lock_timeout.
  "55P03": "unavailable",
  // idle_in_transaction_session_timeout
  "25P03": "unavailable",
  // read_only_sql_transaction: a standby, as after a failover.
  "25006": "unavailable",
};

/**
 * PostgreSQL's error classes (Appendix A of its manual) that may pass: 08 connection, 53 resources,
 * 57 intervention (including the statement timeout), 58 system, 40 deadlock and the like; 28 a
 * refused password and 3D no such database, which can be fixed while this process runs.
 */
const PASSING_CLASSES: readonly string[] = ["08", "53", "57", "58", "40", "28", "3D"];
const SQLSTATE = /^[0-9A-Z]{5}$/;

/** Of Node's sockets and name resolution. */
const SOCKET_CODES: readonly string[] = [
  ...["ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "ENOTFOUND", "EAI_AGAIN"],
  ...["EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "EMFILE", "ENFILE", "ENOENT", "EACCES"],
];

const PASSWORD_ADVICE =
  " (check user and password in SEKISHO_DATABASE_URL and SEKISHO_DATABASE_PASSWORD_FILE)";

/** node-postgres' messages that come without a code. */
const CONNECTION_MESSAGES =
  /connection (terminated|timeout|ended|error)|timeout exceeded when trying to connect|not queryable|query read timeout|calling end on the pool|server does not support SSL|certificate/i;

/** Errors that are not the database's (`work` threw them) are returned unchanged. */
export function toDatabaseError(error: unknown): unknown {
  if (error instanceof DatabaseError) return error;
  const known = knownFault(innermost(error));
  if (known !== undefined) return known;
  return error instanceof DrizzleQueryError ? unexpected(innermost(error)) : error;
}

/** Anything thrown while connecting is a database error. */
export function toConnectionError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  const message = messageOf(error);
  // node-postgres has no password, or the server does not prove that it knows it.
  const advice = message.startsWith("database: SASL") ? PASSWORD_ADVICE : "";
  return knownFault(error) ?? new DatabaseError("unavailable", message + advice);
}

/**
 * Whether the server itself answered with this error, so that its connection is still usable.
 * A read-only server (25006) is the wrong server.
 */
export function isServersAnswer(error: unknown): boolean {
  const state = sqlStateOf(innermost(error));
  return state !== undefined && !/^(08|57P|25006)/.test(state);
}

function knownFault(error: unknown): DatabaseError | undefined {
  const state = sqlStateOf(error);
  if (state !== undefined) {
    const passing = PASSING_CLASSES.includes(state.slice(0, 2));
    const code = MEANINGS[state] ?? (passing ? "unavailable" : "unexpected");
    const advice = state.startsWith("28") ? PASSWORD_ADVICE : "";
    const message = `${messageOf(error)} (SQLSTATE ${state})${advice}`;
    return new DatabaseError(code, message, constraintOf(error));
  }
  if (!isNativeError(error)) return undefined;
  // Trying several addresses of one name fails with the errors of all.
  const faults: readonly unknown[] =
    "errors" in error && Array.isArray(error.errors) ? error.errors : [error];
  const first = faults.find(isConnectionFault);
  if (first === undefined) return undefined;
  const advice = isSocketFault(first) ? " (is it running, and is SEKISHO_DATABASE_URL right?)" : "";
  return new DatabaseError("unavailable", messageOf(first) + advice);
}

function unexpected(error: unknown): DatabaseError {
  return new DatabaseError("unexpected", messageOf(error));
}

/**
 * Only the message. drizzle's and PGlite's errors hold the query with its parameters, and
 * PostgreSQL's `detail` shows whole rows. Those may contain hashes and keys, so the error goes no
 * further and is not the `cause` of what is thrown.
 */
function messageOf(error: unknown): string {
  return `database: ${isNativeError(error) ? error.message : "failed"}`;
}

/** drizzle puts the original error into `cause`. */
function innermost(error: unknown): unknown {
  return error instanceof DrizzleQueryError && error.cause !== undefined ? error.cause : error;
}

function sqlStateOf(error: unknown): string | undefined {
  if (!isNativeError(error) || !("code" in error)) return undefined;
  const { code } = error;
  // Node's codes look alike, but an SQLSTATE always has a digit and "EPIPE" has none.
  return typeof code === "string" && SQLSTATE.test(code) && /\d/.test(code) ? code : undefined;
}

function constraintOf(error: unknown): { readonly constraint?: string } {
  return isNativeError(error) && "constraint" in error && typeof error.constraint === "string"
    ? { constraint: error.constraint }
    : {};
}

function isConnectionFault(error: unknown): boolean {
  if (!isNativeError(error)) return false;
  if (isSocketFault(error)) return true;
  if ("code" in error && typeof error.code === "string") {
    if (error.code.startsWith("ERR_TLS") || error.code.startsWith("CERT_")) return true;
  }
  return CONNECTION_MESSAGES.test(error.message);
}

function isSocketFault(error: unknown): boolean {
  if (!isNativeError(error) || !("code" in error) || typeof error.code !== "string") return false;
  return SOCKET_CODES.includes(error.code) || error.code.startsWith("ERR_SOCKET");
}
