/** Converts every error of ioredis into a RevocationLogError. */
import { isNativeError } from "node:util/types";
import { RevocationLogError, type RevocationLogErrorCode } from "./revocation-log.js";

const CLIENT_CERTIFICATE =
  "this Redis demands a certificate of its clients: set SEKISHO_REDIS_TLS_CERT_FILE and " +
  "SEKISHO_REDIS_TLS_KEY_FILE to one that it accepts";
const AUTHORITY =
  "set SEKISHO_REDIS_TLS_CA_FILE to the authorities that Redis's certificate is from";

/**
 * Errors of a server that is temporarily unavailable: the first word of Redis's error or Node's
 * error code, and what to do where that is known. What was read before stays valid. After any other
 * error from Redis the node reads the whole log again.
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
  MOVED:
    "another server of the cluster has the log now: SEKISHO_REDIS_URL must begin with redis+cluster://",
  ASK: "the log is being moved to another server of the cluster",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: CLIENT_CERTIFICATE,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: CLIENT_CERTIFICATE,
  SELF_SIGNED_CERT_IN_CHAIN: AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID: "the host in SEKISHO_REDIS_URL is not in Redis's certificate",
  ECONNREFUSED: "is Redis up, and is SEKISHO_REDIS_URL right?",
  ENOTFOUND: "is the host in SEKISHO_REDIS_URL right?",
  ETIMEDOUT: "is the address in SEKISHO_REDIS_URL right, and reachable?",
};

const SENTINEL_CREDENTIALS =
  "set SEKISHO_REDIS_SENTINEL_PASSWORD_FILE, and SEKISHO_REDIS_SENTINEL_USER where the Sentinels have users";

/** What to do about errors of Sentinels, where it differs. */
const OF_SENTINELS: Readonly<Record<string, string>> = {
  ...PASSING,
  NOAUTH: SENTINEL_CREDENTIALS,
  WRONGPASS: SENTINEL_CREDENTIALS,
  NOPERM:
    "the user at the Sentinels needs +sentinel|get-master-addr-by-name +subscribe &+switch-master",
  ECONNREFUSED: "are the Sentinels up, and are they those in SEKISHO_REDIS_URL?",
  ERR_TLS_CERT_ALTNAME_INVALID:
    "the host in SEKISHO_REDIS_URL is not in the Sentinel's certificate",
};

/** Where no Sentinel names the master: it may be known again at any time. */
export function toSentinelError(what: string, error: unknown): RevocationLogError {
  const { message } = describeError(error, OF_SENTINELS);
  return new RevocationLogError("unavailable", `${what}: ${message}`, error);
}

/** `what`: the command or step that failed, for the message. */
export function toLogError(what: string, error: unknown): RevocationLogError {
  if (error instanceof RevocationLogError) return error;
  const described = describeError(error, PASSING);
  const { cause, word } = described;
  const message = `${what}: ${described.message}`;
  const isReply = isNativeError(cause) && cause.name === "ReplyError";
  const code: RevocationLogErrorCode =
    isReply && !(word !== undefined && word in PASSING) ? "unexpected" : "unavailable";
  return new RevocationLogError(code, message, error);
}

function describeError(
  error: unknown,
  advices: Readonly<Record<string, string>>,
): { readonly message: string; readonly cause: unknown; readonly word: string | undefined } {
  const cause = innermost(error);
  const text = textOf(cause);
  const word = wordOf(cause, text);
  const advice = word === undefined ? "" : (advices[word] ?? "");
  return { message: `${text}${advice === "" ? "" : ` (${advice})`}`, cause, word };
}

/** A discarded transaction (EXECABORT) has its cause in the errors of the queued commands. */
function innermost(error: unknown): unknown {
  if (!isNativeError(error) || !("previousErrors" in error)) return error;
  const { previousErrors } = error;
  return Array.isArray(previousErrors) && previousErrors.length > 0
    ? innermost(previousErrors[0])
    : error;
}

function wordOf(error: unknown, text: string): string | undefined {
  if (isNativeError(error) && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  return /^[A-Z]+(?= |$)/.exec(text)?.[0];
}

function textOf(error: unknown): string {
  if (!isNativeError(error)) return String(error);
  // OpenSSL's whole message has its file names and line numbers.
  if ("reason" in error && typeof error.reason === "string") return `TLS: ${error.reason}`;
  // A script's error ends with the script's digest and line, which help no operator.
  if (error.message !== "") return error.message.replace(/ script: [0-9a-f]{40}, on .*$/s, "");
  // A connection refused on several addresses is an AggregateError without a message.
  return "code" in error ? String(error.code) : error.name;
}
