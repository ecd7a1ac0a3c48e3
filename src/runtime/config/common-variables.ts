/** The variables that both programs read. */
import { faultOfRedisUrl, REDIS_URL_FORMS } from "./redis-url.js";
import { oneOf, passwordFile, text, url, variable, wholeNumber } from "./variable.js";

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"] as const;

/** The owner, which is the server, needs both bits; written as for `umask` and `chmod`. */
function parseSocketMode(text: string): number | undefined {
  return /^0?[67][0-7]{2}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

export const COMMON_VARIABLES = {
  SEKISHO_REDIS_URL: url(
    "the Redis that holds the revocation log",
    REDIS_URL_FORMS,
    faultOfRedisUrl,
  ),
  SEKISHO_REDIS_PASSWORD_FILE: passwordFile("SEKISHO_REDIS_URL"),
  SEKISHO_REDIS_TLS_CA_FILE: text(
    "a file with the authorities whose certificates Redis may have; without it, those of Node.js",
    "a path to certificates in PEM form",
  ),
  SEKISHO_REDIS_TLS_CERT_FILE: text(
    "a file with the certificate that Redis demands of its clients, and SEKISHO_REDIS_TLS_KEY_FILE with its key",
    "a path to a certificate in PEM form",
  ),
  SEKISHO_REDIS_TLS_KEY_FILE: text(
    "a file with the key of the certificate in SEKISHO_REDIS_TLS_CERT_FILE",
    "a path to an unencrypted key in PEM form",
  ),
  SEKISHO_REDIS_SENTINEL_USER: text("the user at the Sentinels, if they ask for one", "any text"),
  SEKISHO_REDIS_SENTINEL_PASSWORD_FILE: text(
    "a file with the password for the Sentinels, if they ask for one",
    "a path",
  ),
  SEKISHO_REDIS_SENTINEL_TLS: oneOf(
    "whether the Sentinels are reached by TLS",
    ["as-redis", "on", "off"],
    "as-redis",
  ),
  SEKISHO_REDIS_MIN_REPLICAS: wholeNumber(
    "how many replicas must have a revocation before it counts as published, and must confirm each proof " +
      "of a node that it has the whole log; the log may require more",
    0,
    0,
    16,
  ),
  SEKISHO_ISSUER: text("the issuer whose tokens are accepted: their `iss`", "any text"),
  SEKISHO_AUDIENCE: text("the audience of the tokens: one of their `aud`", "any text"),
  SEKISHO_MAX_TOKEN_LIFETIME_S: wholeNumber(
    "the longest `exp` − `iat` of a token, in seconds; the same on every node",
    900,
    1,
    86_400,
  ),
  SEKISHO_CLOCK_SKEW_S: wholeNumber(
    "the largest difference between any two machines' clocks, in seconds",
    5,
    1,
    30,
  ),
  SEKISHO_LOG_LEVEL: oneOf("how much is logged", LOG_LEVELS, "info"),
  SEKISHO_LISTEN_MODE: variable(
    "the mode of the Unix sockets that a program listens on: users that may write may connect",
    "an octal mode from 0600 to 0777, such as 0660",
    "0660",
    parseSocketMode,
  ),
} as const;
