/** The configuration of `sekisho authz`, from its environment. */
import type { ListenAddress } from "../runtime/listen-address.js";
import type { OnStale } from "../revocation-log/on-stale.js";
import type { Issuer } from "../tokens/issuer.js";
import { ConfigError } from "../runtime/config/config-error.js";
import { readIssuers } from "./issuers-config.js";
import { readRedisUrl } from "../runtime/config/password-file.js";
import {
  VariableReader,
  type ConfigFault,
  type Environment,
} from "../runtime/config/read-variables.js";
import { AUTHZ_VARIABLES, defaultNodeId } from "./authz-variables.js";

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

/**
 * Throws a ConfigError that lists every fault.
 * @param unknown faults for variables that no program has
 */
export function readAuthzConfig(env: Environment, unknown: readonly ConfigFault[]): AuthzConfig {
  const read = new VariableReader(AUTHZ_VARIABLES, env, unknown);
  const values = {
    redisUrl: readRedisUrl(read),
    redisMinReplicas: read.value("SEKISHO_REDIS_MIN_REPLICAS"),
    logUnkeptMaxS: read.value("SEKISHO_LOG_UNKEPT_MAX_S"),
    listen: read.value("SEKISHO_LISTEN"),
    opsListen: read.value("SEKISHO_OPS_LISTEN"),
    listenMode: read.value("SEKISHO_LISTEN_MODE"),
    connectionsMax: read.value("SEKISHO_CONNECTIONS_MAX"),
    connectionMaxIdleS: read.value("SEKISHO_CONNECTION_MAX_IDLE_S"),
    connectionMaxAgeS: read.value("SEKISHO_CONNECTION_MAX_AGE_S"),
    issuers: readIssuers(read),
    jwksMaxAgeS: read.value("SEKISHO_JWKS_MAX_AGE_S"),
    maxTokenLifetimeS: read.value("SEKISHO_MAX_TOKEN_LIFETIME_S"),
    clockSkewS: read.value("SEKISHO_CLOCK_SKEW_S"),
    maxStalenessMs: read.value("SEKISHO_MAX_STALENESS_MS"),
    onStale: read.value("SEKISHO_ON_STALE"),
    revocationsMaxEntries: read.value("SEKISHO_REVOCATIONS_MAX_ENTRIES"),
    tokenCacheMaxEntries: read.value("SEKISHO_TOKEN_CACHE_MAX_ENTRIES"),
    verificationsMaxPending: read.value("SEKISHO_VERIFICATIONS_MAX_PENDING"),
    nodeId: read.value("SEKISHO_NODE_ID") ?? defaultNodeId(),
    logLevel: read.value("SEKISHO_LOG_LEVEL"),
  };
  if (read.faults.length > 0 || !isComplete(values)) throw new ConfigError(read.faults);
  return values;
}

type Incomplete<T> = { readonly [K in keyof T]: T[K] | undefined };

function isComplete(values: Incomplete<AuthzConfig>): values is AuthzConfig {
  return Object.values(values).every((value) => value !== undefined);
}
