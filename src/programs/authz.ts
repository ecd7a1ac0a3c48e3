/** `sekisho authz`, the sidecar: wires everything, and closes it again in order. */
import { randomBytes } from "node:crypto";
import { checkHandler } from "../check/check-handler.js";
import { listenForChecks } from "../check/check-server.js";
import { routePolicyReader } from "../check/route-policy.js";
import { momentOf, systemClock } from "../clock/clock.js";
import type { AuthzConfig } from "../config/authz-config.js";
import { formatListenAddress, type ListenAddress } from "../listen/listen-address.js";
import { authzMetrics } from "../ops/authz-metrics.js";
import { authzObservers } from "../ops/authz-observers.js";
import { authzComponents } from "../ops/authz-components.js";
import { authzStatus } from "../ops/authz-status.js";
import { isReady } from "../ops/health.js";
import type { Logger } from "../ops/log.js";
import { listenForOps } from "../ops/ops-server.js";
import { redisConnections } from "../revocation/connection-redis.js";
import { Follower } from "../revocation/follower.js";
import { horizonS } from "../revocation/horizon.js";
import { LocalState } from "../revocation/local-state-lru.js";
import { PARTITIONS, partitionKeys } from "../revocation/partition.js";
import { revocationLogInRedis } from "../revocation/revocation-log-redis.js";
import { standingOf } from "../revocation/standing.js";
import { IssuerKeys } from "../tokens/issuer-keys.js";
import { TokenVerifier } from "../tokens/verification.js";
import { cannotListen } from "./cannot-listen.js";

/** How often a node that is not ready yet looks whether it has become so. */
const READINESS_POLL_MS = 50;
/** In-flight checks end long before: Envoy gives up on them after half a second. */
const DRAIN_TIMEOUT_MS = 2000;

export interface RunningAuthz {
  readonly listen: ListenAddress;
  readonly ops: ListenAddress;
  /** Health off, finish what is in flight, remove group and row, close. Bounded in time. */
  close(): Promise<void>;
}

/** Rejects if an address cannot be had; Redis and keys may be away, then it is not ready. */
export async function startAuthz(config: AuthzConfig, log: Logger): Promise<RunningAuthz> {
  const clock = systemClock;
  const skewMs = config.clockSkewS * 1000;
  const { maxStalenessMs, maxTokenLifetimeS, clockSkewS } = config;
  const limits = { maxStalenessMs, skewMs, maxTokenLifetimeS };
  const life = { ready: false, closing: false };

  const state = new LocalState(config.revocationsMaxEntries, clock);
  const metrics = authzMetrics({
    stalenessMs: () => follower.stalenessMs(),
    entries: () => state.counts,
    saturated: () => state.saturated,
    seq: () => follower.status().seq ?? 0,
    keptAgeMs: () => follower.keptAgeMs(),
    keyAgesMs: () =>
      trusted.map(({ issuer, keys }) => ({
        issuer: issuer.issuer,
        ageMs: keys.status().loadedAgeMs ?? Infinity,
      })),
  });
  const observers = authzObservers(log, metrics);

  const keys = partitionKeys(0);
  const follower = new Follower({
    log: revocationLogInRedis(redisConnections(config.redisUrl), keys, clock),
    state,
    clock,
    groupPrefix: `${config.nodeId}:${randomBytes(6).toString("hex")}`,
    required: {
      skewMs,
      horizonS: horizonS(config.maxTokenLifetimeS, config.clockSkewS),
      partitions: PARTITIONS,
      minReplicas: config.redisMinReplicas,
      unkeptMaxMs: config.logUnkeptMaxS === 0 ? undefined : config.logUnkeptMaxS * 1000,
    },
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
      standingOf: (token) => {
        const known = { state, freshness: follower.freshness };
        return standingOf(token, known, momentOf(clock), limits);
      },
      policyOf: routePolicyReader(config.onStale),
      limits: { clockSkewS, maxTokenLifetimeS },
      clock,
    },
    observers.check,
  );
  const components = () =>
    authzComponents({ follower, state, trusted, life, limits, nowMs: clock.wallMs() });

  const checks = await listenForChecks(config.listen, handler).catch(
    cannotListen("SEKISHO_LISTEN", config.listen),
  );
  const ops = await listenForOps(config.opsListen, {
    components,
    metrics: metrics.page,
    statusz: () => authzStatus({ config, follower, state, trusted }),
  }).catch(async (error: unknown) => {
    await checks.drain(0);
    return cannotListen("SEKISHO_OPS_LISTEN", config.opsListen)(error);
  });

  follower.start();
  for (const { keys: issuerKeys } of trusted) void issuerKeys.start();
  const becomeReady = (): void => {
    if (life.ready || life.closing || !isReady(components())) return;
    life.ready = true;
    checks.setServing(true);
    clearInterval(readinessPoll);
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
