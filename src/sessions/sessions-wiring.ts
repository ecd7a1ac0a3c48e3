/** Builds the parts of the session service from the configuration. */
import { randomBytes, randomUUID } from "node:crypto";
import { systemClock } from "../runtime/clock.js";
import type { SessionsConfig } from "./sessions-config.js";
import type { ApiDependencies } from "./http/api-dependencies.js";
import type { NodesReader } from "./http/nodes-route.js";
import type { ApiLog } from "./http/problem-responder.js";
import type { Database } from "./database/database.js";
import type { SigningKeys } from "./keys/signing-keys.js";
import { DEFAULT_LIMITS, type LimitSettings } from "./limits/login-limits.js";
import { RedisLoginLimits } from "./limits/login-limits-redis.js";
import type { Logger } from "../runtime/log.js";
import type { SessionsObservers } from "./sessions-observers.js";
import { KnownNodesReader } from "./outbox/known-nodes.js";
import { LogOutbox } from "./outbox/log-outbox.js";
import type { Outbox } from "./outbox/outbox.js";
import { Relay } from "./outbox/relay.js";
import type { PasswordHasher } from "./passwords/password-hasher.js";
import { redisConnections } from "../revocation-log/connection-redis.js";
import { RedisLogAdmin } from "../revocation-log/log-admin-redis.js";
import { RedisNodeRows } from "../revocation-log/node-rows-redis.js";
import { reportLog, reportNodes } from "../revocation-log/nodes-report.js";
import { LOG_KEYS } from "../revocation-log/partition.js";
import { RedisPublisher } from "../revocation-log/publisher-redis.js";
import { formerNodes, ReceiptCollector } from "../revocation-log/receipt.js";
import type { ActLimitDependencies } from "./login/act-limit.js";
import type { LockoutSettings } from "./login/lockout.js";
import type { LoginDependencies } from "./login/login.js";
import type { RefreshDependencies } from "./login/refresh.js";

/** The Redis side: publishing revocations, and making sure that they arrive. */
export interface WiredLog {
  readonly outbox: Outbox;
  readonly nodes: NodesReader;
  readonly relay: Relay;
  /** Settles when what requests have published is recorded. The relay has its own `close`. */
  close(): Promise<void>;
  /** Closes the connections to Redis; pending waits fail. */
  disconnect(): void;
}

export function wireRevocationLog(
  config: SessionsConfig,
  db: Database,
  observers: SessionsObservers,
): WiredLog {
  const clock = systemClock;
  const open = redisConnections(config.redis);
  const newPublisher = (): RedisPublisher =>
    new RedisPublisher({
      open,
      keys: LOG_KEYS,
      clock,
      authority: "database",
      minReplicas: config.redisMinReplicas,
      clockSkewS: config.clockSkewS,
    });
  const publishers = { requests: newPublisher(), relay: newPublisher() };
  const logAdmin = new RedisLogAdmin(open, LOG_KEYS);
  const rows = new RedisNodeRows(open, LOG_KEYS);
  const known = new KnownNodesReader({ database: db, clock, rows });
  const outbox = new LogOutbox({
    database: db,
    clock,
    publisher: publishers.requests,
    receipts: new ReceiptCollector(known, clock),
    observer: observers.outbox,
  });
  const relay = new Relay({
    minReplicas: config.redisMinReplicas,
    database: db,
    clock,
    logAdmin,
    publisher: publishers.relay,
    horizonS: config.horizonS,
    newId: randomUUID,
    observer: observers.relay,
  });
  return {
    outbox,
    nodes: { readNodes: () => readNodes(known) },
    relay,
    close: () => outbox.close(),
    disconnect: () => {
      for (const one of [publishers.requests, publishers.relay, logAdmin, rows]) one.close();
    },
  };
}

async function readNodes(known: KnownNodesReader): ReturnType<NodesReader["readNodes"]> {
  const found = await known.nodeRows();
  const { meta, serverMs, recordedGeneration } = found;
  if (typeof meta === "string") return undefined;
  return {
    log: { ...reportLog(meta, serverMs), recordedGeneration },
    nodes: reportNodes(found, meta),
    former: formerNodes(found),
  };
}

export function loginLimits(
  config: SessionsConfig,
  observers: SessionsObservers,
): { readonly limits: RedisLoginLimits; readonly problem: () => string | undefined } {
  let problem: string | undefined;
  const limits = new RedisLoginLimits({
    redis: config.redis,
    settings: limitSettings(config),
    onFallback: (reason) => {
      problem = reason;
      observers.limits.onFallback(reason);
    },
    onRecovered: () => {
      problem = undefined;
      observers.limits.onRecovered();
    },
  });
  return { limits, problem: () => problem };
}

export function apiDependencies(
  config: SessionsConfig,
  given: Pick<LoginDependencies, "db" | "hasher" | "limits"> &
    Pick<RefreshDependencies, "limits" | "outbox" | "refusals"> &
    Pick<ActLimitDependencies, "limits"> &
    Pick<ApiDependencies, "nodes"> & {
      readonly answered: ApiLog["answered"];
      readonly hasher: PasswordHasher;
      readonly keys: SigningKeys;
      readonly lockout: LockoutSettings;
      readonly observers: SessionsObservers;
      readonly life: { readonly prepared: boolean };
      readonly log: Logger;
    },
): ApiDependencies {
  const { db, hasher, limits, keys, outbox, refusals, lockout, observers, life, log, nodes } =
    given;
  const clock = systemClock;
  const tools = { db, clock, newEventId: randomUUID, randomBytes };
  return {
    sessions: {
      ...tools,
      hasher,
      limits,
      mint: keys,
      verifier: keys,
      outbox,
      refusals,
      options: {
        idleMs: config.idleS * 1000,
        absoluteMs: config.maxAgeS * 1000,
        refreshToleranceMs: config.refreshToleranceS * 1000,
        refreshRetryMs: config.refreshRetryS * 1000,
        refreshUnsearchedMaxMs: config.refreshUnsearchedMaxS * 1000,
        lockout,
      },
      observer: observers.sessions,
    },
    admin: { ...tools, hasher, newUserId: randomUUID, clockSkewMs: config.clockSkewS * 1000 },
    outbox,
    refusals,
    keys,
    nodes,
    isReady: () => life.prepared,
    log: {
      answered: given.answered,
      requestFailed: ({ error, requestId, ...what }) => {
        const fields = { request_id: requestId, ...what };
        // An unavailable dependency is named by its message; unexpected errors need the stack.
        if (what.status === 503)
          log.error({ ...fields, problem: messageOf(error) }, "a request failed");
        else log.error({ ...fields, err: error }, "a request failed");
      },
    },
  };
}

function limitSettings({ limits }: SessionsConfig): LimitSettings {
  const { account, address, spread, refresh, user_act, admin_act } = DEFAULT_LIMITS;
  return {
    account: { ...account, max: limits.loginsPerAccount },
    address: { ...address, max: limits.loginsPerAddress },
    spread: { ...spread, max: limits.accountsPerAddress },
    refresh: { ...refresh, max: limits.refreshesPerAddress },
    user_act: { ...user_act, max: limits.actsPerUser },
    admin_act: { ...admin_act, max: limits.actsPerAdmin },
  };
}

function messageOf(error: unknown): string | undefined {
  return error instanceof Error ? error.message : undefined;
}
