/** `sekisho sessions`, the session service: wires everything, and closes it again in order. */
import { systemClock } from "../runtime/clock.js";
import { RefusalTrail } from "./audit/refusal-trail.js";
import type { SessionsConfig } from "./sessions-config.js";
import type { Database } from "./database/database.js";
import type { ApiDependencies } from "./http/api-dependencies.js";
import { startApi, type Api } from "./http/api-server.js";
import { SqlSigningKeyStore } from "./keys/signing-key-store-sql.js";
import { SigningKeys } from "./keys/signing-keys.js";
import { formatListenAddress, type ListenAddress } from "../runtime/listen-address.js";
import { withSocketMode } from "../runtime/socket-mode.js";
import { DatabaseWatch } from "./database-watch.js";
import type { Logger } from "../runtime/log.js";
import { listenForOps, type OpsPages, type OpsServer } from "../runtime/ops-server.js";
import { sessionsComponents } from "./sessions-components.js";
import { sessionsMetrics } from "./sessions-metrics.js";
import { sessionsObservers } from "./sessions-observers.js";
import type { Relay } from "./outbox/relay.js";
import {
  Argon2PasswordHasher,
  DEFAULT_HASHING_LIMITS,
} from "./passwords/password-hasher-argon2.js";
import { DEFAULT_LOCKOUT, type LockoutSettings } from "./login/lockout.js";
import { Purger } from "./login/purge.js";
import { cannotListen } from "../runtime/cannot-listen.js";
import { shutDown, type ShutdownStep } from "../runtime/shutdown.js";
import { openDatabase } from "./open-database.js";
import { Startup } from "../runtime/startup.js";
import { apiDependencies, wireRevocationLog, loginLimits } from "./sessions-wiring.js";

/** For running requests; the rest of the platform's grace period is for the other parts. */
const DRAIN_TIMEOUT_MS = 5000;
/** The server itself closes its connections before that. */
const SERVER_END_MS = DRAIN_TIMEOUT_MS + 500;
/** For parts that may be waiting for a hanging database or Redis, which is then disconnected. */
const PART_END_MS = 3000;
const LATE_PART_END_MS = 1000;
/** PostgreSQL's connections take a second at most, and PGlite as long as its running query. */
const DATABASE_END_MS = 2000;

export interface RunningSessions {
  readonly listen: ListenAddress;
  readonly ops: ListenAddress;
  /** Finishes running requests, releases the relay's lock, closes. Bounded in time. */
  close(): Promise<void>;
}

/**
 * Rejects if it cannot listen on an address or use the data folder. PostgreSQL and Redis may be
 * unavailable: it then says so and continues when they are back.
 */
export async function startSessions(config: SessionsConfig, log: Logger): Promise<RunningSessions> {
  const db = await openDatabase(config.database);
  try {
    return await startOn(db, config, log);
  } catch (error) {
    await db.close();
    throw error;
  }
}

async function startOn(
  db: Database,
  config: SessionsConfig,
  log: Logger,
): Promise<RunningSessions> {
  const clock = systemClock;
  const life = { prepared: false, closing: false };
  const metrics = sessionsMetrics({
    pool: () => db.pool,
    hashing: () => ({ pending: hasher.pending, queued: hasher.queued }),
    outbox: () => {
      const { pending } = relay.status();
      return pending && { pending: pending.count, oldestAgeMs: pending.oldestAgeMs };
    },
    relaying: () => relay.status().relaying,
    search: () => searchState(config, relay),
    keys: () => {
      const { keys: published, signingAgeMs } = keys.status();
      return { count: published.length, signingAgeMs };
    },
    clockAheadMs: () => watch.clockAheadMs,
    limitsInProcess: () => limits.countsIn === "process",
  });
  const observers = sessionsObservers(log, metrics.registry, clock);

  const hasher = new Argon2PasswordHasher({
    limits: {
      ...DEFAULT_HASHING_LIMITS,
      concurrency: config.hashing.concurrencyMax,
      queueMax: config.hashing.queueMax,
    },
  });
  const { limits, problem: limitsProblem } = loginLimits(config, observers);
  const keys = new SigningKeys({
    store: new SqlSigningKeyStore(db),
    clock,
    ...{ issuer: config.issuer, audience: config.audience },
    ...config.keys,
    tokenLifetimeS: config.tokenLifetimeS,
    skewS: config.clockSkewS,
    onReload: observers.keys,
  });

  const revocations = wireRevocationLog(config, db, observers);
  const { outbox, relay } = revocations;
  const refusals = new RefusalTrail({ db, clock, observer: observers.refusals });
  const lockout = lockoutSettings(config);
  const purger = new Purger({ db, clock, random: Math.random, observer: observers.purge, lockout });
  const watch = new DatabaseWatch({
    ...{ db, clock, skewMs: config.clockSkewS * 1000 },
    observer: observers.watch,
  });
  const startup = new Startup(
    [
      { name: "tables", run: () => db.migrate() },
      { name: "signing keys", run: () => keys.start() },
    ],
    (step, problem) => log.error({ step, problem }, "not ready yet: trying again"),
    () => {
      life.prepared = true;
      relay.start();
      purger.start();
      log.info("ready");
    },
  );

  const components = () =>
    sessionsComponents({
      life,
      tablesUpToDate: startup.done > 0,
      tablesProblem: startup.problem,
      databaseProblem: watch.problem,
      clockProblem: watch.clockProblem,
      keysProblem: keys.status().lastProblem,
      ...logState(config, relay),
      limitsProblem: limitsProblem(),
    });
  const dependencies = apiDependencies(config, {
    ...{ db, hasher, limits, keys, outbox, refusals, lockout, observers, life, log },
    nodes: revocations.nodes,
    answered: ({ operation = "unknown", status, durationMs }) =>
      metrics.answered(operation, status, durationMs),
  });
  const running = await listenOn(config, dependencies, {
    components,
    metrics: metrics.page,
    statusz: () => ({ relay: relay.status(), keys: keys.status(), database: db.pool }),
  }).catch(async (error: unknown) => {
    limits.close();
    await hasher.close();
    throw error;
  });
  watch.start();
  startup.start();
  log.info(
    {
      listen: formatListenAddress(running.api.address),
      ops: formatListenAddress(running.ops.address),
    },
    "listening",
  );

  return {
    listen: running.api.address,
    ops: running.ops.address,
    close: async () => {
      life.closing = true;
      // The relay releases its lock at once, so that another instance can take over.
      await shutDown(log, [
        { part: "requests", maxMs: SERVER_END_MS, end: () => running.api.close() },
        ...within(PART_END_MS, { preparation: startup, relay, purger }),
      ]);
      // Needed until the last request has been answered.
      const late = { outbox: revocations, refusals, keys, watch, hasher };
      await shutDown(log, within(LATE_PART_END_MS, late));
      limits.close();
      revocations.disconnect();
      await shutDown(log, within(DATABASE_END_MS, { database: db }));
      await running.ops.close();
    },
  };
}

/** As each refresh decides it; undefined: not known. */
function searchState({ refreshUnsearchedMaxS: maxS }: SessionsConfig, relay: Relay) {
  const { unsearchedMs } = relay.status();
  if (unsearchedMs === undefined) return undefined;
  return { unsearchedMs, gated: maxS > 0 && unsearchedMs > maxS * 1000 };
}

function logState(config: SessionsConfig, relay: Relay) {
  const { problem, pending } = relay.status();
  const search = searchState(config, relay);
  const gatedAfterMs = search?.gated === true ? search.unsearchedMs : undefined;
  return { logProblem: problem?.message, pending, gatedAfterMs };
}

function lockoutSettings({ lockout }: SessionsConfig): LockoutSettings {
  return { ...DEFAULT_LOCKOUT, failuresMax: lockout.failures, lockMs: lockout.lockedS * 1000 };
}

function within(
  maxMs: number,
  dependencies: Readonly<Record<string, { close(): Promise<unknown> }>>,
): ShutdownStep[] {
  return Object.entries(dependencies).map(([part, one]) => ({
    part,
    maxMs,
    end: () => one.close(),
  }));
}

/** Listens on both addresses, or on neither and rejects with an error that names the variable. */
async function listenOn(
  config: SessionsConfig,
  dependencies: ApiDependencies,
  pages: OpsPages,
): Promise<{ readonly api: Api; readonly ops: OpsServer }> {
  const { listen, opsListen, listenMode, trustedProxies } = config;
  const bounds = { closeMaxMs: DRAIN_TIMEOUT_MS };
  const api = await withSocketMode(listen, listenMode, () =>
    startApi({ listen, trustedProxies, bounds }, dependencies),
  ).catch(cannotListen("SEKISHO_SESSIONS_LISTEN", listen));
  try {
    const ops = await withSocketMode(opsListen, listenMode, () => listenForOps(opsListen, pages));
    return { api, ops };
  } catch (error) {
    await api.close();
    return cannotListen("SEKISHO_SESSIONS_OPS_LISTEN", opsListen)(error);
  }
}
