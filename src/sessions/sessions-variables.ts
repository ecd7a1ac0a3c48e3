/** The variables of `sekisho sessions`, including the common ones. */
import { COMMON_VARIABLES } from "../runtime/config/common-variables.js";
import { parseListenAddress } from "../runtime/listen-address.js";
import { faultOfDatabaseUrl } from "../runtime/config/connection-url.js";
import { passwordFile, text, url, variable, wholeNumber } from "../runtime/config/variable.js";
import { trustedProxies } from "./http/client-address.js";

const DAY_S = 86_400;

/** 32 bytes in base64 or base64url, as `openssl rand -base64 32` prints them. */
function parseSecret(value: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(value)) return undefined;
  const bytes = Buffer.from(value, "base64");
  return bytes.length === 32 ? new Uint8Array(bytes) : undefined;
}

const secret = (meaning: string) => ({
  ...variable(
    meaning,
    "32 random bytes in base64: openssl rand -base64 32",
    undefined,
    parseSecret,
  ),
  secret: true as const,
});

/** Addresses, networks (`10.0.0.0/8`) and `unix`, separated by commas. */
function parseProxies(value: string): readonly string[] | undefined {
  const proxies = value.split(/[\s,]+/).filter((one) => one !== "");
  try {
    trustedProxies(proxies);
    return proxies;
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

export const SESSIONS_VARIABLES = {
  ...COMMON_VARIABLES,
  SEKISHO_SESSIONS_LISTEN: variable(
    "where the session service listens (HTTP); port 0 takes a free one and logs it",
    "HOST:PORT or unix:/PATH",
    "127.0.0.1:9180",
    parseListenAddress,
  ),
  SEKISHO_SESSIONS_OPS_LISTEN: variable(
    "where it listens for probes and Prometheus (HTTP); port 0 takes a free one and logs it",
    "HOST:PORT or unix:/PATH",
    "127.0.0.1:9181",
    parseListenAddress,
  ),
  SEKISHO_DATABASE_URL: url(
    "the PostgreSQL database with users, sessions and the audit trail",
    "postgres://user:password@host:port/database",
    faultOfDatabaseUrl,
  ),
  SEKISHO_DATABASE_PASSWORD_FILE: passwordFile("SEKISHO_DATABASE_URL"),
  SEKISHO_DATABASE_POOL_MAX: wholeNumber("how many connections to it are opened", 10, 2, 200),
  SEKISHO_DATA_DIR: text(
    "instead of PostgreSQL: the folder of a database inside the service (PGlite), for one instance",
    "a path",
  ),
  SEKISHO_SESSIONS_KEY_SECRET: secret(
    "encrypts the private signing keys in the database; the same on every instance",
  ),
  SEKISHO_SESSIONS_KEY_SECRET_PREVIOUS: secret("the previous secret, while it is being changed"),
  SEKISHO_SESSIONS_TOKEN_LIFETIME_S: wholeNumber(
    "how long an access token is valid, in seconds; at most SEKISHO_MAX_TOKEN_LIFETIME_S",
    600,
    1,
    DAY_S,
  ),
  SEKISHO_REFRESH_TOLERANCE_S: wholeNumber(
    "how long a used refresh token still yields another, for tabs that race, in seconds; 0: never",
    5,
    0,
    60,
  ),
  SEKISHO_REFRESH_RETRY_S: wholeNumber(
    "how long a refresh may be retried after its answer was lost, in seconds; 0: never",
    120,
    0,
    3600,
  ),
  SEKISHO_REFRESH_UNSEARCHED_MAX_S: wholeNumber(
    "how long refreshes continue while no instance can search the revocation log, in seconds; at most half of SEKISHO_SESSIONS_TOKEN_LIFETIME_S counts. 0: without limit, and then a --break-glass cut-off does not apply to tokens refreshed after it",
    300,
    0,
    3600,
  ),
  SEKISHO_SESSIONS_IDLE_S: wholeNumber(
    "a session ends after this long without a refresh, in seconds",
    14 * DAY_S,
    60,
    365 * DAY_S,
  ),
  SEKISHO_SESSIONS_MAX_AGE_S: wholeNumber(
    "a session ends after this long in any case, in seconds",
    90 * DAY_S,
    60,
    3650 * DAY_S,
  ),
  SEKISHO_SESSIONS_KEY_ROTATION_S: wholeNumber(
    "how long a signing key signs, in seconds",
    30 * DAY_S,
    600,
    365 * DAY_S,
  ),
  SEKISHO_SESSIONS_KEY_PREPUBLISH_S: wholeNumber(
    "how long a signing key is published before it signs, in seconds; longer than nodes cache a key set",
    3600,
    600,
    30 * DAY_S,
  ),
  SEKISHO_TRUSTED_PROXIES: variable(
    "proxies whose X-Forwarded-For is trusted; unset: none",
    "addresses, networks (10.0.0.0/8) and `unix` (peers on the Unix socket), separated by commas",
    undefined,
    parseProxies,
  ),
  SEKISHO_SESSIONS_HASHES_MAX: wholeNumber(
    "how many passwords are hashed at once; each takes a core and 19 MiB",
    2,
    1,
    64,
  ),
  SEKISHO_SESSIONS_HASH_QUEUE_MAX: wholeNumber(
    "how many passwords may be waiting to be hashed",
    64,
    1,
    10_000,
  ),
  SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT: wholeNumber(
    "how many logins to one account are admitted in a minute",
    10,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_LOGINS_PER_ADDRESS: wholeNumber(
    "how many logins from one address are admitted in a minute",
    60,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS: wholeNumber(
    "how many different accounts may be tried from one address in ten minutes",
    20,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS: wholeNumber(
    "how many refreshes from one address are admitted in a minute",
    600,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_ACTS_PER_USER: wholeNumber(
    "how many times in a minute a user may end sessions of their own or change the password",
    60,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_ACTS_PER_ADMIN: wholeNumber(
    "how many acts on users one administrator or operator may do in a minute, own sessions included",
    600,
    1,
    100_000,
  ),
  SEKISHO_SESSIONS_LOCKOUT_FAILURES: wholeNumber(
    "after how many wrong passwords within a quarter of an hour a login is locked",
    10,
    1,
    1000,
  ),
  SEKISHO_SESSIONS_LOCKOUT_S: wholeNumber("for how long it is locked, in seconds", 900, 1, DAY_S),
} as const;
