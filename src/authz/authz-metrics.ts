/** The sidecar's metrics, as Prometheus reads them. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import { END_CAUSES, type EndCause } from "./check/connection-limits.js";
import { REASONS, type Reason } from "./check/reason.js";
import type { ResyncCause } from "./follow/log-order.js";
import type { EntryKind } from "./follow/local-state.js";
import type { RefreshResult } from "../tokens/issuer-keys.js";

/** Read on each scrape. Infinity for what has never happened. */
export interface AuthzGauges {
  readonly stalenessMs: () => number;
  readonly entries: () => Readonly<Record<EntryKind, number>>;
  readonly saturated: () => boolean;
  readonly seq: () => number;
  /** undefined: the log has no session service, or has not been read yet. */
  readonly keptAgeMs: () => number | undefined;
  readonly connections: () => number;
  readonly keyAgesMs: () => readonly { readonly issuer: string; readonly ageMs: number }[];
}

export interface AuthzMetrics {
  readonly checked: (decision: string, reason: Reason, durationMs: number) => void;
  readonly cancelled: () => void;
  readonly connectionEnded: (cause: EndCause) => void;
  readonly applied: (lagMs: number) => void;
  readonly resync: (cause: ResyncCause) => void;
  readonly continued: () => void;
  readonly unreadable: () => void;
  readonly tokenCache: (result: "hit" | "miss") => void;
  readonly jwksRefresh: (result: RefreshResult) => void;
  readonly page: () => Promise<{ readonly contentType: string; readonly text: string }>;
}

const CHECK_BUCKETS_S = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
];
const LAG_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function authzMetrics(gauges: AuthzGauges): AuthzMetrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerGauges(registry, gauges);
  const checks = new Counter({
    name: "sekisho_check_total",
    help: "Checks answered, by decision and reason.",
    labelNames: ["decision", "reason"],
    registers: [registry],
  });
  for (const [reason, { status }] of Object.entries(REASONS)) {
    checks.inc({ decision: status === undefined ? "allow" : "deny", reason }, 0);
  }
  const duration = new Histogram({
    name: "sekisho_check_duration_seconds",
    help: "Time from receiving a check to answering it.",
    buckets: CHECK_BUCKETS_S,
    registers: [registry],
  });
  const lag = new Histogram({
    name: "sekisho_revocation_apply_lag_seconds",
    help: "Time from publishing a revocation to applying it here (by the clocks of two machines).",
    buckets: LAG_BUCKETS_S,
    registers: [registry],
  });
  const counter = (name: string, help: string, label?: string): Counter =>
    new Counter({
      name,
      help,
      labelNames: label === undefined ? [] : [label],
      registers: [registry],
    });
  const resyncs = counter("sekisho_log_resyncs_total", "Times the whole log was read.", "cause");
  const continuations = counter(
    "sekisho_log_continuations_total",
    "Times a restored log was followed on without reading the whole of it.",
  );
  const unreadable = counter(
    "sekisho_log_unreadable_entries_total",
    "Log entries that this version could not read; upgrade the nodes.",
  );
  const cache = counter("sekisho_token_cache_total", "Look-ups of verified tokens.", "result");
  const refreshes = counter("sekisho_jwks_refresh_total", "Loads of the issuers' keys.", "result");
  return {
    checked: (decision, reason, durationMs) => {
      checks.inc({ decision, reason });
      duration.observe(durationMs / 1000);
    },
    ...connectionCounters(registry),
    applied: (lagMs) => lag.observe(lagMs / 1000),
    resync: (cause) => resyncs.inc({ cause }),
    continued: () => continuations.inc(),
    unreadable: () => unreadable.inc(),
    tokenCache: (result) => cache.inc({ result }),
    jwksRefresh: (result) => refreshes.inc({ result }),
    page: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  };
}

function connectionCounters(
  registry: Registry,
): Pick<AuthzMetrics, "cancelled" | "connectionEnded"> {
  const cancelled = new Counter({
    name: "sekisho_check_cancelled_total",
    help: "Checks that Envoy gave up before they were decided.",
    registers: [registry],
  });
  const ended = new Counter({
    name: "sekisho_connections_ended_total",
    help: "Connections to the gRPC port that this node ended.",
    labelNames: ["cause"],
    registers: [registry],
  });
  for (const cause of END_CAUSES) ended.inc({ cause }, 0);
  return {
    cancelled: () => cancelled.inc(),
    connectionEnded: (cause) => ended.inc({ cause }),
  };
}

function registerGauges(registry: Registry, gauges: AuthzGauges): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  gauge(
    "sekisho_revocation_staleness_seconds",
    "Time since this node last proved that it had applied the whole log; +Inf: never.",
    () => gauges.stalenessMs() / 1000,
  );
  gauge("sekisho_revocations_saturated", "1 if live entries were evicted from memory.", () =>
    gauges.saturated() ? 1 : 0,
  );
  gauge("sekisho_connections", "Open connections to the gRPC port.", gauges.connections);
  gauge("sekisho_log_seq", "The last entry of the log that was applied.", gauges.seq);
  new Gauge({
    name: "sekisho_log_kept_age_seconds",
    help: "Time since the session service last stamped the log; +Inf: never.",
    labelNames: [],
    registers: [registry],
    collect() {
      const ageMs = gauges.keptAgeMs();
      if (ageMs === undefined) this.reset();
      else this.set(ageMs / 1000);
    },
  });
  new Gauge({
    name: "sekisho_revocation_entries",
    help: "Revocations held in memory.",
    labelNames: ["kind"],
    registers: [registry],
    collect() {
      for (const [kind, count] of Object.entries(gauges.entries())) this.set({ kind }, count);
    },
  });
  new Gauge({
    name: "sekisho_jwks_age_seconds",
    help: "Time since the issuer's keys were last confirmed; +Inf: never.",
    labelNames: ["issuer"],
    registers: [registry],
    collect() {
      for (const { issuer, ageMs } of gauges.keyAgesMs()) this.set({ issuer }, ageMs / 1000);
    },
  });
}
