/** The configuration of the operators' commands (`log`, `revoke`, `nodes`). */
import { horizonS } from "../revocation-log/horizon.js";
import { ConfigError } from "../runtime/config/config-error.js";
import { readRedisSettings, type RedisSettings } from "../runtime/config/redis-settings.js";
import { VariableReader, type Environment } from "../runtime/config/read-variables.js";
import { COMMAND_VARIABLES, faultsOfNames } from "./variables.js";

export interface OperatorConfig {
  readonly redis: RedisSettings;
  readonly redisMinReplicas: number;
  readonly clockSkewS: number;
  /** How long a log opened now has to remember. */
  readonly horizonS: number;
}

/** The session service's address, and the token for it. */
export interface ServiceAddress {
  readonly url: string;
  readonly token: string;
}

/** Through the session service where one is configured; otherwise directly to Redis. */
export type OperatorPath =
  | { readonly kind: "service"; readonly service: ServiceAddress }
  | { readonly kind: "redis"; readonly redis: OperatorConfig };

/** `breakGlass`: to Redis in any case. Throws a ConfigError that lists every fault. */
export function readOperatorPath(env: Environment, breakGlass: boolean): OperatorPath {
  const read = new VariableReader(COMMAND_VARIABLES, env, faultsOfNames(env));
  const { faults } = read;
  const url = read.value("SEKISHO_SESSIONS_URL");
  const token = read.value("SEKISHO_SESSIONS_TOKEN");
  if (url !== undefined && token === undefined) {
    const problem = "is not set, but SEKISHO_SESSIONS_URL is: set both or neither";
    faults.push({ where: "SEKISHO_SESSIONS_TOKEN", value: undefined, problem });
  }
  if (url === undefined && token !== undefined) {
    const problem = "is not set, but SEKISHO_SESSIONS_TOKEN is: set both or neither";
    faults.push({ where: "SEKISHO_SESSIONS_URL", value: undefined, problem });
  }
  if (breakGlass || (faults.length === 0 && url === undefined)) {
    return { kind: "redis", redis: readOperatorConfig(env) };
  }
  if (faults.length > 0 || url === undefined || token === undefined) throw new ConfigError(faults);
  return { kind: "service", service: { url, token } };
}

/** Throws a ConfigError that lists every fault. */
export function readOperatorConfig(env: Environment): OperatorConfig {
  const read = new VariableReader(COMMAND_VARIABLES, env, faultsOfNames(env));
  const { faults } = read;
  const redis = readRedisSettings(read);
  const redisMinReplicas = read.value("SEKISHO_REDIS_MIN_REPLICAS");
  const clockSkewS = read.value("SEKISHO_CLOCK_SKEW_S");
  const maxTokenLifetimeS = read.value("SEKISHO_MAX_TOKEN_LIFETIME_S");
  if (
    faults.length > 0 ||
    redis === undefined ||
    redisMinReplicas === undefined ||
    clockSkewS === undefined ||
    maxTokenLifetimeS === undefined
  ) {
    throw new ConfigError(faults);
  }
  return {
    redis,
    redisMinReplicas,
    clockSkewS,
    horizonS: horizonS(maxTokenLifetimeS, clockSkewS),
  };
}
