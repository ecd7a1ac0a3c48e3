/** `sekisho authz`, the sidecar: wires everything, and closes it again in order. */
import { randomBytes } from "node:crypto";
import { CheckConnections } from "./check/check-connections.js";
import { checkHandler } from "./check/check-handler.js";
import { listenForChecks } from "./check/check-server.js";
import type { ConnectionLimits } from "./check/connection-limits.js";
import { routePolicyReader } from "./check/route-policy.js";
import { momentOf, systemClock, type Clock } from "../runtime/clock.js";
import type { AuthzConfig } from "./authz-config.js";
import { formatListenAddress, type ListenAddress } from "../runtime/listen-address.js";
import { withSocketMode } from "../runtime/socket-mode.js";
import { authzMetrics } from "./authz-metrics.js";
import { authzObservers } from "./authz-observers.js";
import { authzComponents } from "./authz-components.js";
import { authzStatus } from "./authz-status.js";
import { isReady } from "../runtime/health.js";
import type { Logger } from "../runtime/log.js";
import { listenForOps } from "../runtime/ops-server.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import { Follower } from "./follow/follower.js";
import { horizonS } from "../revocation-log/horizon.js";
import type { LogRequirements } from "./follow/log-examination.js";
import { LocalState } from "./follow/local-state.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { revocationLogInRedis } from "../revocation-log/revocation-log-redis.js";
import { revocationStatusOf } from "./follow/revocation-status.js";
import { IssuerKeys } from "../tokens/issuer-keys.js";
import type { Issuer } from "../tokens/issuer.js";
import { TokenVerifier } from "../tokens/verification.js";
import { cannotListen } from "../runtime/cannot-listen.js";

/** How often a node that is not ready checks whether it is. */
const READINESS_POLL_MS = 50;
/** In-flight checks end long before: Envoy gives up on them after half a second. */
const DRAIN_TIMEOUT_MS = 2000;

export interface RunningAuthz {
  readonly listen: ListenAddress;
  readonly ops: ListenAddress;
  /** Health off, finish what is in flight, remove group and row, close. Bounded in time. */
  close(): Promise<void>;
}

function requirementsOf(config: AuthzConfig): LogRequirements {
  return {
    skewMs: config.clockSkewS * 1000,
    horizonS: horizonS(config.maxTokenLifetimeS, config.clockSkewS),
    minReplicas: config.redisMinReplicas,
    unkeptMaxMs: config.logUnkeptMaxS === 0 ? undefined : config.logUnkeptMaxS * 1000,
  };
}

/** Rejects if it cannot listen. Without Redis or keys it starts, but is not ready. */
export async function startAuthz(
  config: AuthzConfig,
  log: Logger,
  clock: Clock = systemClock,
): Promise<RunningAuthz> {
  const startedMs = clock.monotonicMs();
  const { maxStalenessMs, maxTokenLifetimeS, clockSkewS } = config;
  const limits = { maxStalenessMs, skewMs: clockSkewS * 1000, maxTokenLifetimeS };
  const life = { ready: false, closing: false };

  const state = new LocalState(config.revocationsMaxEntries, clock);
  const metrics = authzMetrics({
    stalenessMs: () => follower.stalenessMs(),
    entries: () => state.counts,
    saturated: () => state.saturated,
    seq: () => follower.status().seq ?? 0,
    keptAgeMs: () => follower.keptAgeMs(),
    connections: () => connections.count,
    keyAgesMs: () =>
      trusted.map(({ issuer, keys }) => ({
        issuer: issuer.issuer,
        ageMs: keys.status().loadedAgeMs ?? Infinity,
      })),
  });
  const observers = authzObservers(log, metrics);
  const connections = new CheckConnections(connectionLimitsOf(config), observers.connections);

  const follower = new Follower({
    log: revocationLogInRedis(redisConnections(config.redis), LOG_KEYS, clock),
    state,
    clock,
    groupPrefix: `${config.nodeId}:${randomBytes(6).toString("hex")}`,
    required: requirementsOf(config),
    maxStalenessMs: config.maxStalenessMs,
    onStale: config.onStale,
    observer: observers.follower,
    random: Math.random,
  });

  const trusted = config.issuers.map((issuer) => ({
    issuer,
    keys: new IssuerKeys(issuer, {
      clock,
      maxAgeMs: config.jwksMaxAgeS * 1000,
      onRefresh: observers.keys(issuer.issuer),
    }),
  }));
  const verifier = new TokenVerifier({
    issuers: trusted,
    cacheMaxEntries: config.tokenCacheMaxEntries,
    pendingMax: config.verificationsMaxPending,
    onCache: metrics.tokenCache,
  });

  const handler = checkHandler(
    {
      verify: (token) => verifier.verify(token),
      revocationStatusOf: (token) => {
        const known = { state, freshness: follower.freshness };
        return revocationStatusOf(token, known, momentOf(clock), limits);
      },
      policyOf: routePolicyReader(config.onStale),
      limits: { clockSkewS, maxTokenLifetimeS },
      clock,
    },
    observers.check,
  );
  const components = () =>
    authzComponents({
      ...{ follower, state, trusted, limits, nowMs: clock.wallMs() },
      life: { ...life, upForMs: clock.monotonicMs() - startedMs },
    });

  const { listen, opsListen, listenMode } = config;
  const checks = await withSocketMode(listen, listenMode, () =>
    listenForChecks(listen, handler, connections),
  ).catch(cannotListen("SEKISHO_LISTEN", listen));
  const pages = {
    components,
    metrics: metrics.page,
    statusz: () => authzStatus({ config, follower, state, trusted }),
  };
  const ops = await withSocketMode(opsListen, listenMode, () =>
    listenForOps(opsListen, pages),
  ).catch(async (error: unknown) => {
    await checks.drain(0);
    return cannotListen("SEKISHO_OPS_LISTEN", opsListen)(error);
  });

  follower.start();
  for (const { keys: issuerKeys } of trusted) void issuerKeys.start();
  const becomeReady = (): void => {
    if (life.ready || life.closing || !isReady(components())) return;
    life.ready = true;
    checks.setServing(true);
    clearInterval(readinessPoll);
    warnOfMissingKeys(log, trusted);
    log.info("ready");
  };
  const readinessPoll = setInterval(becomeReady, READINESS_POLL_MS);
  const addresses = {
    listen: formatListenAddress(checks.address),
    ops: formatListenAddress(ops.address),
  };
  log.info(addresses, "listening");

  return {
    listen: checks.address,
    ops: ops.address,
    close: async () => {
      life.closing = true;
      clearInterval(readinessPoll);
      checks.setServing(false);
      await checks.drain(DRAIN_TIMEOUT_MS);
      for (const { keys: issuerKeys } of trusted) issuerKeys.close();
      await follower.close();
      await ops.close();
    },
  };
}

interface TrustedKeys {
  readonly issuer: Issuer;
  readonly keys: IssuerKeys;
}

function warnOfMissingKeys(log: Logger, trusted: readonly TrustedKeys[]): void {
  const issuers = trusted.flatMap(({ issuer, keys }) => {
    const problem = keys.status().lastProblem ?? "not loaded yet";
    return keys.current() === undefined ? [{ issuer: issuer.issuer, problem }] : [];
  });
  if (issuers.length === 0) return;
  log.warn({ issuers }, "ready without the keys of these issuers: their tokens are refused");
}

function connectionLimitsOf(config: AuthzConfig): ConnectionLimits {
  return {
    connectionsMax: config.connectionsMax,
    idleMaxMs: config.connectionMaxIdleS * 1000,
    ageMaxMs: config.connectionMaxAgeS === 0 ? Infinity : config.connectionMaxAgeS * 1000,
  };
}
