/** What `sekisho sessions` is told by its environment. */
import type { ListenAddress } from "../runtime/listen-address.js";
import { faultOfSchedule } from "./keys/key-rotation.js";
import { horizonS } from "../revocation-log/horizon.js";
import { ConfigError } from "../runtime/config/config-error.js";
import { readDatabaseUrl, readRedisUrl } from "../runtime/config/password-file.js";
import {
  readVariable,
  requireVariable,
  unknownVariables,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";

/** Where users, sessions, revocations and the audit trail are kept. */
export type DatabasePlace =
  | { readonly kind: "postgres"; readonly url: string; readonly poolMax: number }
  | { readonly kind: "folder"; readonly path: string };

export interface SessionsConfig {
  readonly listen: ListenAddress;
  readonly opsListen: ListenAddress;
  readonly listenMode: number;
  readonly database: DatabasePlace;
  readonly redisUrl: string;
  readonly redisMinReplicas: number;
  readonly clockSkewS: number;
  readonly maxTokenLifetimeS: number;
  /** How long the log has to remember. */
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
  /** 0: there is no limit. */
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

/** What the commands beside the service need: only where the data is. */
export type MaintenanceConfig = Pick<SessionsConfig, "database" | "hashing" | "clockSkewS">;

/** Throws a ConfigError that lists every fault. */
export function readSessionsConfig(env: Environment): SessionsConfig {
  const faults: ConfigFault[] = [...unknownVariables(env)];
  const read = reader(env, faults);
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
  const rest = readTunables(env, read, faults);
  const impossible =
    faults.length > 0
      ? undefined
      : faultOfSchedule({ ...rest.keys, tokenLifetimeS, skewS: clockSkewS });
  if (impossible !== undefined) {
    const problem = `does not go with the other times: ${impossible}`;
    const value = String(rest.keys.rotationS);
    faults.push({ where: "SEKISHO_SESSIONS_KEY_ROTATION_S", value, problem });
  }
  const listen = readVariable(env, "SEKISHO_SESSIONS_LISTEN", faults);
  const opsListen = readVariable(env, "SEKISHO_SESSIONS_OPS_LISTEN", faults);
  const database = readDatabasePlace(env, faults);
  const redisUrl = readRedisUrl(env, faults);
  const issuer = requireVariable(env, "SEKISHO_ISSUER", faults);
  const audience = requireVariable(env, "SEKISHO_AUDIENCE", faults);
  const secret = requireVariable(env, "SEKISHO_SESSIONS_KEY_SECRET", faults);
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
    ...{ listen, opsListen, database, redisUrl, issuer, audience },
    ...{ clockSkewS, maxTokenLifetimeS, tokenLifetimeS },
    // A token is as old as the last search, and is to be good for something.
    refreshUnsearchedMaxS: Math.min(rest.refreshUnsearchedMaxS, Math.ceil(tokenLifetimeS / 2)),
    keys: { ...rest.keys, secret },
    horizonS: horizonS(maxTokenLifetimeS, clockSkewS),
  };
}

/** Everything that has a default. */
function readTunables(env: Environment, read: Reader, faults: ConfigFault[]) {
  return {
    listenMode: read.number("SEKISHO_LISTEN_MODE"),
    redisMinReplicas: read.number("SEKISHO_REDIS_MIN_REPLICAS"),
    keys: {
      previousSecret: readVariable(env, "SEKISHO_SESSIONS_KEY_SECRET_PREVIOUS", faults),
      rotationS: read.number("SEKISHO_SESSIONS_KEY_ROTATION_S"),
      prepublishS: read.number("SEKISHO_SESSIONS_KEY_PREPUBLISH_S"),
    },
    refreshToleranceS: read.number("SEKISHO_REFRESH_TOLERANCE_S"),
    refreshRetryS: read.number("SEKISHO_REFRESH_RETRY_S"),
    refreshUnsearchedMaxS: read.number("SEKISHO_REFRESH_UNSEARCHED_MAX_S"),
    idleS: read.number("SEKISHO_SESSIONS_IDLE_S"),
    maxAgeS: read.number("SEKISHO_SESSIONS_MAX_AGE_S"),
    trustedProxies: readVariable(env, "SEKISHO_TRUSTED_PROXIES", faults) ?? [],
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
    logLevel: readVariable(env, "SEKISHO_LOG_LEVEL", faults) ?? "",
  };
}

/** For `sekisho sessions admin create` and `after-restore`. Throws a ConfigError. */
export function readMaintenanceConfig(env: Environment): MaintenanceConfig {
  const faults: ConfigFault[] = [...unknownVariables(env)];
  const read = reader(env, faults);
  const database = readDatabasePlace(env, faults);
  const hashing = readHashing(read);
  const clockSkewS = read.number("SEKISHO_CLOCK_SKEW_S");
  if (faults.length > 0 || database === undefined) throw new ConfigError(faults);
  return { database, hashing, clockSkewS };
}

type NumberName =
  | "SEKISHO_CLOCK_SKEW_S"
  | "SEKISHO_LISTEN_MODE"
  | "SEKISHO_MAX_TOKEN_LIFETIME_S"
  | "SEKISHO_REDIS_MIN_REPLICAS"
  | "SEKISHO_DATABASE_POOL_MAX"
  | "SEKISHO_REFRESH_TOLERANCE_S"
  | "SEKISHO_REFRESH_RETRY_S"
  | "SEKISHO_REFRESH_UNSEARCHED_MAX_S"
  | "SEKISHO_SESSIONS_TOKEN_LIFETIME_S"
  | "SEKISHO_SESSIONS_IDLE_S"
  | "SEKISHO_SESSIONS_MAX_AGE_S"
  | "SEKISHO_SESSIONS_KEY_ROTATION_S"
  | "SEKISHO_SESSIONS_KEY_PREPUBLISH_S"
  | "SEKISHO_SESSIONS_HASHES_MAX"
  | "SEKISHO_SESSIONS_HASH_QUEUE_MAX"
  | "SEKISHO_SESSIONS_LOGINS_PER_ACCOUNT"
  | "SEKISHO_SESSIONS_LOGINS_PER_ADDRESS"
  | "SEKISHO_SESSIONS_ACCOUNTS_PER_ADDRESS"
  | "SEKISHO_SESSIONS_REFRESHES_PER_ADDRESS"
  | "SEKISHO_SESSIONS_ACTS_PER_USER"
  | "SEKISHO_SESSIONS_ACTS_PER_ADMIN"
  | "SEKISHO_SESSIONS_LOCKOUT_FAILURES"
  | "SEKISHO_SESSIONS_LOCKOUT_S";

interface Reader {
  /** These all have defaults. 0 stands for one with a fault, which ends the reading anyway. */
  readonly number: (name: NumberName) => number;
}

function reader(env: Environment, faults: ConfigFault[]): Reader {
  return { number: (name) => readVariable(env, name, faults) ?? 0 };
}

function readHashing(read: Reader): SessionsConfig["hashing"] {
  return {
    concurrencyMax: read.number("SEKISHO_SESSIONS_HASHES_MAX"),
    queueMax: read.number("SEKISHO_SESSIONS_HASH_QUEUE_MAX"),
  };
}

function readDatabasePlace(env: Environment, faults: ConfigFault[]): DatabasePlace | undefined {
  const faultsBefore = faults.length;
  const url = readDatabaseUrl(env, faults);
  const path = readVariable(env, "SEKISHO_DATA_DIR", faults);
  const poolMax = readVariable(env, "SEKISHO_DATABASE_POOL_MAX", faults);
  if (faults.length > faultsBefore || poolMax === undefined) return undefined;
  if (url !== undefined && path !== undefined) {
    const problem =
      "is set, and so is SEKISHO_DATABASE_URL: users would be in two places; unset one";
    faults.push({ where: "SEKISHO_DATA_DIR", value: path, problem });
    return undefined;
  }
  if (url !== undefined) return { kind: "postgres", url, poolMax };
  if (path !== undefined) return { kind: "folder", path };
  faults.push({
    where: "SEKISHO_DATABASE_URL",
    value: undefined,
    problem:
      "is not set, and neither is SEKISHO_DATA_DIR: name a PostgreSQL, or a folder for a database inside the service",
  });
  return undefined;
}
