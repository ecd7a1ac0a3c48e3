/** The session service's metrics for Prometheus. */
import { Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { PoolCounts } from "./database/database.js";

/** Read when Prometheus scrapes. undefined: not known. */
export interface SessionsGauges {
  readonly pool: () => PoolCounts;
  readonly hashing: () => { readonly pending: number; readonly queued: number };
  /** Revocations that are committed and not yet known to be published. */
  readonly outbox: () =>
    { readonly pending: number; readonly oldestAgeMs: number | undefined } | undefined;
  readonly relaying: () => boolean;
  /** How long ago the log was last searched, and whether refreshes are refused for that. */
  readonly search: () => { readonly unsearchedMs: number; readonly gated: boolean } | undefined;
  readonly keys: () => { readonly count: number; readonly signingAgeMs: number | undefined };
  readonly clockAheadMs: () => number | undefined;
  readonly limitsInProcess: () => boolean;
}

export interface SessionsMetrics {
  /** For the counters of events: see `sessions-observers.ts`. */
  readonly registry: Registry;
  readonly answered: (operation: string, status: number, durationMs: number) => void;
  readonly page: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

const ANSWER_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function sessionsMetrics(gauges: SessionsGauges): SessionsMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerGauges(registry, gauges);
  const duration = new Histogram({
    name: "sekisho_api_request_duration_seconds",
    help: "Time from receiving a request of the API to answering it.",
    labelNames: ["operation", "status"],
    buckets: ANSWER_BUCKETS_S,
    registers: [registry],
  });
  return {
    registry,
    answered: (operation, status, durationMs) => {
      duration.observe({ operation, status: String(status) }, durationMs / 1000);
    },
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function registerGauges(registry: Registry, gauges: SessionsGauges): void {
  const gauge = gaugesIn(registry);
  registerLogGauges(gauge, gauges);
  gauge("sekisho_signing_keys", "Signing keys that are published.", () => gauges.keys().count);
  gauge("sekisho_signing_key_age_seconds", "How long the present key has been signing.", () => {
    const { signingAgeMs } = gauges.keys();
    return signingAgeMs === undefined ? undefined : signingAgeMs / 1000;
  });
  gauge(
    "sekisho_clock_ahead_seconds",
    "By how much this machine's clock is ahead of the database's, at least; below 0: behind.",
    () => {
      const aheadMs = gauges.clockAheadMs();
      return aheadMs === undefined ? undefined : aheadMs / 1000;
    },
  );
  gauge(
    "sekisho_limits_in_process",
    "1 while limits are counted in this process because Redis is away.",
    () => (gauges.limitsInProcess() ? 1 : 0),
  );
  byState(registry, {
    name: "sekisho_database_connections",
    help: "Connections to the database; `waiting` are requests that have none yet.",
    read: () => {
      const { inUse, idle, waiting, max } = gauges.pool();
      return { in_use: inUse, idle, waiting, max };
    },
  });
  byState(registry, {
    name: "sekisho_password_hashing",
    help: "Passwords being hashed and waiting for it.",
    read: () => {
      const { pending, queued } = gauges.hashing();
      return { working: pending - queued, queued };
    },
  });
}

type RegisterGauge = (name: string, help: string, read: () => number | undefined) => void;

function registerLogGauges(gauge: RegisterGauge, gauges: SessionsGauges): void {
  gauge(
    "sekisho_outbox_pending",
    "Revocations that are committed and not yet known to be published.",
    () => gauges.outbox()?.pending,
  );
  gauge("sekisho_outbox_oldest_seconds", "The age of the oldest of them; 0: there is none.", () => {
    const outbox = gauges.outbox();
    return outbox === undefined ? undefined : (outbox.oldestAgeMs ?? 0) / 1000;
  });
  gauge("sekisho_relay_active", "1 on the one instance whose relay works.", () =>
    gauges.relaying() ? 1 : 0,
  );
  gauge("sekisho_log_unsearched_seconds", "How long no instance has searched the log.", () => {
    const search = gauges.search();
    return search && search.unsearchedMs / 1000;
  });
  gauge("sekisho_refreshes_gated", "1 while refreshes are refused for that.", () => {
    const search = gauges.search();
    return search && Number(search.gated);
  });
}

function gaugesIn(registry: Registry): RegisterGauge {
  return (name, help, read) => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        // An unknown value is left out rather than reported as 0.
        this.remove();
        const value = read();
        if (value !== undefined) this.set(value);
      },
    });
  };
}

function byState(
  registry: Registry,
  one: {
    readonly name: string;
    readonly help: string;
    readonly read: () => Readonly<Record<string, number>>;
  },
): void {
  new Gauge({
    name: one.name,
    help: one.help,
    labelNames: ["state"],
    registers: [registry],
    collect() {
      for (const [state, value] of Object.entries(one.read())) this.set({ state }, value);
    },
  });
}
