/** The session service's metrics, as Prometheus reads them. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { PoolCounts } from "../database/database.js";

/** What is read when Prometheus asks. undefined where it is not known. */
export interface SessionsGauges {
  readonly pool: () => PoolCounts;
  readonly hashing: () => { readonly pending: number; readonly queued: number };
  /** Revocations that are committed and not yet known to be published. */
  readonly outbox: () =>
    { readonly pending: number; readonly oldestAgeMs: number | undefined } | undefined;
  readonly relaying: () => boolean;
  readonly keys: () => { readonly count: number; readonly signingAgeMs: number | undefined };
  readonly limitsInProcess: () => boolean;
}

export interface SessionsMetrics {
  readonly login: (outcome: string, reason: string) => void;
  readonly refresh: (outcome: string, reason: string) => void;
  readonly reuse: () => void;
  readonly lockout: () => void;
  readonly limited: (limit: string) => void;
  readonly published: (by: "request" | "relay", count: number) => void;
  readonly imported: (count: number) => void;
  readonly restored: (cause: string) => void;
  readonly purged: (table: string, rows: number) => void;
  readonly answered: (operation: string, status: number, durationMs: number) => void;
  readonly page: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

const ANSWER_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function sessionsMetrics(gauges: SessionsGauges): SessionsMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerGauges(registry, gauges);
  const counter = (name: string, help: string, labelNames: readonly string[] = []): Counter =>
    new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
  const logins = counter(
    "sekisho_login_total",
    "Logins. `refused` and `limited` are the user's side, `failed` is the system's.",
    ["outcome", "reason"],
  );
  const refreshes = counter("sekisho_refresh_total", "Refreshes, by outcome and reason.", [
    "outcome",
    "reason",
  ]);
  const reuses = counter(
    "sekisho_refresh_reuse_total",
    "Refresh tokens that were used after they had been replaced; their sessions were ended.",
  );
  const lockouts = counter("sekisho_lockouts_total", "Logins that were locked.");
  const limits = counter("sekisho_limits_hit_total", "Requests refused by a limit.", ["limit"]);
  const published = counter(
    "sekisho_revocations_published_total",
    "Revocations published: at once by the request, or later by the relay.",
    ["by"],
  );
  const imported = counter(
    "sekisho_revocations_imported_total",
    "Revocations found in the log that were published past the service.",
  );
  const restores = counter("sekisho_log_restores_total", "Times the log was restored.", ["cause"]);
  const purged = counter("sekisho_purged_rows_total", "Expired rows deleted.", ["table"]);
  const duration = new Histogram({
    name: "sekisho_api_request_duration_seconds",
    help: "Time from receiving a request of the API to answering it.",
    labelNames: ["operation", "status"],
    buckets: ANSWER_BUCKETS_S,
    registers: [registry],
  });
  return {
    login: (outcome, reason) => logins.inc({ outcome, reason }),
    refresh: (outcome, reason) => refreshes.inc({ outcome, reason }),
    reuse: () => reuses.inc(),
    lockout: () => lockouts.inc(),
    limited: (limit) => limits.inc({ limit }),
    published: (by, count) => published.inc({ by }, count),
    imported: (count) => imported.inc(count),
    restored: (cause) => restores.inc({ cause }),
    purged: (table, rows) => purged.inc({ table }, rows),
    answered: (operation, status, durationMs) => {
      duration.observe({ operation, status: String(status) }, durationMs / 1000);
    },
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function registerGauges(registry: Registry, gauges: SessionsGauges): void {
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        // What is not known is left out rather than called 0.
        this.remove();
        const value = read();
        if (value !== undefined) this.set(value);
      },
    });
  };
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
  gauge("sekisho_signing_keys", "Signing keys that are published.", () => gauges.keys().count);
  gauge("sekisho_signing_key_age_seconds", "How long the present key has been signing.", () => {
    const { signingAgeMs } = gauges.keys();
    return signingAgeMs === undefined ? undefined : signingAgeMs / 1000;
  });
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
