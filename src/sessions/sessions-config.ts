/** The configuration of `sekisho sessions`, from its environment. */
import type { ListenAddress } from "../runtime/listen-address.js";
import { faultOfSchedule } from "./keys/key-rotation.js";
import { horizonS } from "../revocation-log/horizon.js";
import { ConfigError } from "../runtime/config/config-error.js";
import { readBoundedFile } from "../runtime/config/bounded-file.js";
import { databaseUrlFiles, databaseUrlWithPassword } from "../runtime/config/connection-url.js";
import { readRedisUrl, urlWithPassword } from "../runtime/config/password-file.js";
import {
  VariableReader,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";
import type { Variable } from "../runtime/config/variable.js";
import { SESSIONS_VARIABLES } from "./sessions-variables.js";

const CERTIFICATES_MAX_BYTES = 4 * 1024 * 1024;

/** Where users, sessions, revocations and the audit trail are kept. */
export type DatabaseLocation =
  | { readonly kind: "postgres"; readonly url: string; readonly poolMax: number }
  | { readonly kind: "folder"; readonly path: string };

export interface SessionsConfig {
  readonly listen: ListenAddress;
  readonly opsListen: ListenAddress;
  readonly listenMode: number;
  readonly database: DatabaseLocation;
  readonly redisUrl: string;
  readonly redisMinReplicas: number;
  readonly clockSkewS: number;
  readonly maxTokenLifetimeS: number;
  /** How long the log has to keep entries. */
  readonly horizonS: number;
  readonly issuer: string;
  readonly audience: string;
  readonly keys: {
    readonly secret: Uint8Array;
    readonly previousSecret: Uint8Array | undefined;
    readonly rotationS: number;
    readonly prepublishS: number;
  };
  readonly tokenLifetimeS: number;
  readonly refreshToleranceS: number;
  readonly refreshRetryS: number;
  /** 0: no limit. */
  readonly refreshUnsearchedMaxS: number;
  readonly idleS: number;
  readonly maxAgeS: number;
  readonly trustedProxies: readonly string[];
  readonly hashing: { readonly concurrencyMax: number; readonly queueMax: number };
  readonly limits: {
    readonly loginsPerAccount: number;
    readonly loginsPerAddress: number;
    readonly accountsPerAddress: number;
    readonly refreshesPerAddress: number;
    readonly actsPerUser: number;
    readonly actsPerAdmin: number;
  };
  readonly lockout: { readonly failures: number; readonly lockedS: number };
  readonly logLevel: string;
}

/** What the operator commands need. */
export type MaintenanceConfig = Pick<SessionsConfig, "database" | "hashing" | "clockSkewS">;

/**
 * Throws a ConfigError that lists every fault.
 * @param unknown the faults of unknown variables
 */
export function readSessionsConfig(
  env: Environment,
  unknown: readonly ConfigFault[],
): SessionsConfig {
  const read = readerOf(env, unknown);
  const { faults } = read;
  const clockSkewS = read.number("SEKISHO_CLOCK_SKEW_S");
  const maxTokenLifetimeS = read.number("SEKISHO_MAX_TOKEN_LIFETIME_S");
  const tokenLifetimeS = read.number("SEKISHO_SESSIONS_TOKEN_LIFETIME_S");
  if (tokenLifetimeS > maxTokenLifetimeS) {
    faults.push({
      where: "SEKISHO_SESSIONS_TOKEN_LIFETIME_S",
      value: String(tokenLifetimeS),
      problem: `must be at most SEKISHO_MAX_TOKEN_LIFETIME_S (${maxTokenLifetimeS}): nodes would refuse every token`,
    });
  }
  const rest = readTunables(read);
  const impossible =
    faults.length > 0
      ? undefined
      : faultOfSchedule({ ...rest.keys, tokenLifetimeS, skewS: clockSkewS });
  if (impossible !== undefined) {
    const problem = `does not fit the other times: ${impossible}`;
    const value = String(rest.keys.rotationS);
    faults.push({ where: "SEKISHO_SESSIONS_KEY_ROTATION_S", value, problem });
  }
  const listen = read.value("SEKISHO_SESSIONS_LISTEN");
  const opsListen = read.value("SEKISHO_SESSIONS_OPS_LISTEN");
  const database = readDatabasePlace(read);
  const redisUrl = readRedisUrl(read);
  const issuer = read.required("SEKISHO_ISSUER");
  const audience = read.required("SEKISHO_AUDIENCE");
  const secret = read.required("SEKISHO_SESSIONS_KEY_SECRET");
  if (
    faults.length > 0 ||
    listen === undefined ||
    opsListen === undefined ||
    database === undefined ||
    redisUrl === undefined ||
    issuer === undefined ||
    audience === undefined ||
    secret === undefined
  ) {
    throw new ConfigError(faults);
  }
  return {
    ...rest,
    listen,
    opsListen,
    database,
    redisUrl,
    issuer,
    audience,
    clockSkewS,
    maxTokenLifetimeS,
    tokenLifetimeS,
    // A token is dated back to the last search, and must still be valid for a while.
    refreshUnsearchedMaxS: Math.min(rest.refreshUnsearchedMaxS, Math.ceil(tokenLifetimeS / 2)),
    keys: { ...rest.keys, secret },
    horizonS: horizonS(maxTokenLifetimeS, clockSkewS),
  };
}

/** Everything with a default. */
function readTunables(read: Reader) {
  return {
    listenMode: read.number("SEKISHO_LISTEN_MODE"),
    redisMinReplicas: read.number("SEKISHO_REDIS_MIN_REPLICAS"),
    keys: {
      previousSecret: read.value("SEKISHO_SESSIONS_KEY_SECRET_PREVIOUS"),
      rotationS: read.number("SEKISHO_SESSIONS_KEY_ROTATION_S"),
      prepublishS: read.number("SEKISHO_SESSIONS_KEY_PREPUBLISH_S"),
    },
    refreshToleranceS: read.number("SEKISHO_REFRESH_TOLERANCE_S"),
    refreshRetryS: read.number("SEKISHO_REFRESH_RETRY_S"),
    refreshUnsearchedMaxS: read.number("SEKISHO_REFRESH_UNSEARCHED_MAX_S"),
    idleS: read.number("SEKISHO_SESSIONS_IDLE_S"),
    maxAgeS: read.number("SEKISHO_SESSIONS_MAX_AGE_S"),
    trustedProxies: read.value("SEKISHO_TRUSTED_PROXIES") ?? [],
    hashing: readHashing(read),
    limits: {
      loginsPerAccount: read.number("SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT"),
      loginsPerAddress: read.number("SEKISHO_SESSIONS_LOGINS_PER_ADDRESS"),
      accountsPerAddress: read.number("SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS"),
      refreshesPerAddress: read.number("SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS"),
      actsPerUser: read.number("SEKISHO_SESSIONS_ACTS_PER_USER"),
      actsPerAdmin: read.number("SEKISHO_SESSIONS_ACTS_PER_ADMIN"),
    },
    lockout: {
      failures: read.number("SEKISHO_SESSIONS_LOCKOUT_FAILURES"),
      lockedS: read.number("SEKISHO_SESSIONS_LOCKOUT_S"),
    },
    logLevel: read.value("SEKISHO_LOG_LEVEL") ?? "",
  };
}

/** For `sekisho sessions admin create` and `after-restore`. Throws a ConfigError. */
export function readMaintenanceConfig(
  env: Environment,
  unknown: readonly ConfigFault[],
): MaintenanceConfig {
  const read = readerOf(env, unknown);
  const { faults } = read;
  const database = readDatabasePlace(read);
  const hashing = readHashing(read);
  const clockSkewS = read.number("SEKISHO_CLOCK_SKEW_S");
  if (faults.length > 0 || database === undefined) throw new ConfigError(faults);
  return { database, hashing, clockSkewS };
}

type Reader = VariableReader<typeof SESSIONS_VARIABLES> & {
  /** These all have defaults. 0 after a fault, which fails the configuration anyway. */
  readonly number: (name: NumberName) => number;
};

type NumberName = {
  [N in keyof typeof SESSIONS_VARIABLES]: (typeof SESSIONS_VARIABLES)[N] extends Variable<number>
    ? N
    : never;
}[keyof typeof SESSIONS_VARIABLES];

function readerOf(env: Environment, unknown: readonly ConfigFault[]): Reader {
  const read = new VariableReader(SESSIONS_VARIABLES, env, unknown);
  return Object.assign(read, { number: (name: NumberName) => read.value(name) ?? 0 });
}

function readHashing(read: Reader): SessionsConfig["hashing"] {
  return {
    concurrencyMax: read.number("SEKISHO_SESSIONS_HASHES_MAX"),
    queueMax: read.number("SEKISHO_SESSIONS_HASH_QUEUE_MAX"),
  };
}

function readDatabasePlace(read: Reader): DatabaseLocation | undefined {
  const { faults } = read;
  const faultsBefore = faults.length;
  const url = readDatabaseUrl(read);
  const path = read.value("SEKISHO_DATA_DIR");
  const poolMax = read.value("SEKISHO_DATABASE_POOL_MAX");
  if (faults.length > faultsBefore || poolMax === undefined) return undefined;
  if (url !== undefined && path !== undefined) {
    const problem =
      "is set, and so is SEKISHO_DATABASE_URL: users would be in two databases; unset one";
    faults.push({ where: "SEKISHO_DATA_DIR", value: path, problem });
    return undefined;
  }
  if (url !== undefined) return { kind: "postgres", url, poolMax };
  if (path !== undefined) return { kind: "folder", path };
  faults.push({
    where: "SEKISHO_DATABASE_URL",
    value: undefined,
    problem:
      "is not set, and neither is SEKISHO_DATA_DIR: set one, for a PostgreSQL server or for a folder with a database inside the service",
  });
  return undefined;
}

/** Undefined if it is not set, or after a fault. */
export function readDatabaseUrl(
  read: VariableReader<typeof SESSIONS_VARIABLES>,
): string | undefined {
  const { faults } = read;
  const faultsBefore = faults.length;
  const url = read.value("SEKISHO_DATABASE_URL");
  const file = "SEKISHO_DATABASE_PASSWORD_FILE";
  const path = read.value(file);
  if (url === undefined && path !== undefined && faults.length === faultsBefore) {
    faults.push({ where: file, value: path, problem: "is set, but SEKISHO_DATABASE_URL is not" });
  }
  for (const [parameter, named] of url === undefined ? [] : databaseUrlFiles(url)) {
    const certificate = readBoundedFile(named, CERTIFICATES_MAX_BYTES);
    if (!("problem" in certificate)) continue;
    const problem = `names a file in its parameter ${parameter} that ${certificate.problem}`;
    faults.push({ where: "SEKISHO_DATABASE_URL", value: named, problem });
  }
  const password = { variable: file, path, insert: databaseUrlWithPassword };
  return urlWithPassword({ variable: "SEKISHO_DATABASE_URL", url }, password, faults);
}
