/** What the operators' commands (`log`, `revoke`, `nodes`) are told: only the Redis settings. */
import { horizonS } from "../revocation/horizon.js";
import { ConfigError } from "./config-error.js";
import {
  readVariable,
  requireVariable,
  unknownVariables,
  type ConfigFault,
  type Environment,
} from "./read-variables.js";

export interface OperatorConfig {
  readonly redisUrl: string;
  readonly redisMinReplicas: number;
  readonly clockSkewS: number;
  /** How long a log opened now has to remember. */
  readonly horizonS: number;
}

/** Throws a ConfigError that lists every fault. */
export function readOperatorConfig(env: Environment): OperatorConfig {
  const faults: ConfigFault[] = [...unknownVariables(env)];
  const redisUrl = requireVariable(env, "SEKISHO_REDIS_URL", faults);
  const redisMinReplicas = readVariable(env, "SEKISHO_REDIS_MIN_REPLICAS", faults);
  const clockSkewS = readVariable(env, "SEKISHO_CLOCK_SKEW_S", faults);
  const maxTokenLifetimeS = readVariable(env, "SEKISHO_MAX_TOKEN_LIFETIME_S", faults);
  if (
    faults.length > 0 ||
    redisUrl === undefined ||
    redisMinReplicas === undefined ||
    clockSkewS === undefined ||
    maxTokenLifetimeS === undefined
  ) {
    throw new ConfigError(faults);
  }
  return {
    redisUrl,
    redisMinReplicas,
    clockSkewS,
    horizonS: horizonS(maxTokenLifetimeS, clockSkewS),
  };
}
