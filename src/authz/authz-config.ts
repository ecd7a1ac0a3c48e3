/** What `sekisho authz` is told by its environment. */
import type { ListenAddress } from "../runtime/listen-address.js";
import type { OnStale } from "../revocation-log/on-stale.js";
import type { Issuer } from "../tokens/issuer.js";
import { ConfigError } from "../runtime/config/config-error.js";
import { readIssuers } from "./issuers-config.js";
import { readRedisUrl } from "../runtime/config/password-file.js";
import {
  readVariable,
  unknownVariables,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";
import { defaultNodeId } from "../cli/variables.js";

export interface AuthzConfig {
  readonly listen: ListenAddress;
  readonly opsListen: ListenAddress;
  readonly listenMode: number;
  readonly connectionsMax: number;
  readonly connectionMaxIdleS: number;
  /** 0: connections do not age. */
  readonly connectionMaxAgeS: number;
  readonly redisUrl: string;
  readonly redisMinReplicas: number;
  /** 0: for ever. */
  readonly logUnkeptMaxS: number;
  readonly issuers: readonly Issuer[];
  readonly jwksMaxAgeS: number;
  readonly maxTokenLifetimeS: number;
  readonly clockSkewS: number;
  readonly maxStalenessMs: number;
  readonly onStale: OnStale;
  readonly revocationsMaxEntries: number;
  readonly tokenCacheMaxEntries: number;
  readonly verificationsMaxPending: number;
  readonly nodeId: string;
  readonly logLevel: string;
}

/** Throws a ConfigError that lists every fault. */
export function readAuthzConfig(env: Environment): AuthzConfig {
  const faults: ConfigFault[] = [...unknownVariables(env)];
  const values = {
    redisUrl: readRedisUrl(env, faults),
    redisMinReplicas: readVariable(env, "SEKISHO_REDIS_MIN_REPLICAS", faults),
    logUnkeptMaxS: readVariable(env, "SEKISHO_LOG_UNKEPT_MAX_S", faults),
    listen: readVariable(env, "SEKISHO_LISTEN", faults),
    opsListen: readVariable(env, "SEKISHO_OPS_LISTEN", faults),
    listenMode: readVariable(env, "SEKISHO_LISTEN_MODE", faults),
    connectionsMax: readVariable(env, "SEKISHO_CONNECTIONS_MAX", faults),
    connectionMaxIdleS: readVariable(env, "SEKISHO_CONNECTION_MAX_IDLE_S", faults),
    connectionMaxAgeS: readVariable(env, "SEKISHO_CONNECTION_MAX_AGE_S", faults),
    issuers: readIssuers(env, faults),
    jwksMaxAgeS: readVariable(env, "SEKISHO_JWKS_MAX_AGE_S", faults),
    maxTokenLifetimeS: readVariable(env, "SEKISHO_MAX_TOKEN_LIFETIME_S", faults),
    clockSkewS: readVariable(env, "SEKISHO_CLOCK_SKEW_S", faults),
    maxStalenessMs: readVariable(env, "SEKISHO_MAX_STALENESS_MS", faults),
    onStale: readVariable(env, "SEKISHO_ON_STALE", faults),
    revocationsMaxEntries: readVariable(env, "SEKISHO_REVOCATIONS_MAX_ENTRIES", faults),
    tokenCacheMaxEntries: readVariable(env, "SEKISHO_TOKEN_CACHE_MAX_ENTRIES", faults),
    verificationsMaxPending: readVariable(env, "SEKISHO_VERIFICATIONS_MAX_PENDING", faults),
    nodeId: readVariable(env, "SEKISHO_NODE_ID", faults) ?? defaultNodeId(),
    logLevel: readVariable(env, "SEKISHO_LOG_LEVEL", faults),
  };
  if (faults.length > 0 || !isComplete(values)) throw new ConfigError(faults);
  return values;
}

type Incomplete<T> = { readonly [K in keyof T]: T[K] | undefined };

function isComplete(values: Incomplete<AuthzConfig>): values is AuthzConfig {
  return Object.values(values).every((value) => value !== undefined);
}
