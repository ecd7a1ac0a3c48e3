/** The one conversion of what ioredis throws into errors of the revocation log. */
import { RevocationLogError, type RevocationLogErrorCode } from "./revocation-log.js";

/**
 * What a server answers, or a socket says, that cannot serve just now: the first word of the error
 * (Redis) or its code (Node), and what to do where that is known. After any of these, what was read
 * so far stays good. Every other error that Redis answers makes the node begin again.
 */
const PASSING: Readonly<Record<string, string>> = {
  LOADING: "",
  NOREPLICAS: "",
  BUSY: "",
  TRYAGAIN: "",
  CLUSTERDOWN: "",
  MASTERDOWN: "",
  MISCONF: "see Redis's own log",
  OOM: "give Redis more memory (maxmemory)",
  NOAUTH: "put user and password into SEKISHO_REDIS_URL, or the password into a file",
  WRONGPASS: "check user and password in SEKISHO_REDIS_URL and its password file",
  NOPERM: "the Redis user lacks a right: compare deploy/redis/users.acl",
  READONLY: "this Redis is a replica: point SEKISHO_REDIS_URL at the master",
  ECONNREFUSED: "is Redis up, and is SEKISHO_REDIS_URL right?",
  ENOTFOUND: "is the host in SEKISHO_REDIS_URL right?",
  ETIMEDOUT: "is the address in SEKISHO_REDIS_URL right, and reachable?",
};

/** `what`: the command or step that failed, for the message. */
export function toLogError(what: string, error: unknown): RevocationLogError {
  if (error instanceof RevocationLogError) return error;
  const cause = innermost(error);
  const text = textOf(cause);
  const word = wordOf(cause, text);
  const advice = word === undefined ? "" : (PASSING[word] ?? "");
  const message = `${what}: ${text}${advice === "" ? "" : ` (${advice})`}`;
  const isReply = cause instanceof Error && cause.name === "ReplyError";
  const code: RevocationLogErrorCode =
    isReply && !(word !== undefined && word in PASSING) ? "unexpected" : "unavailable";
  return new RevocationLogError(code, message, error);
}

/** A transaction that Redis discarded says only that; what was wrong stands in the errors before. */
function innermost(error: unknown): unknown {
  if (!(error instanceof Error) || !("previousErrors" in error)) return error;
  const { previousErrors } = error;
  return Array.isArray(previousErrors) && previousErrors.length > 0
    ? innermost(previousErrors[0])
    : error;
}

function wordOf(error: unknown, text: string): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  return /^[A-Z]+(?= |$)/.exec(text)?.[0];
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A script's error ends with the script's own place, which tells nobody anything.
  if (error.message !== "") return error.message.replace(/ script: [0-9a-f]{40}, on .*$/s, "");
  // A connection refused on several addresses is an AggregateError without a message.
  return "code" in error ? String(error.code) : error.name;
}
