/** The session service's counters. Every series starts with 0. */
import { Counter, type Registry } from "prom-client";
import type { LimitName } from "./limits/login-limits.js";
import type { RestoreCause } from "./outbox/relay-decision.js";
import type { PurgedRows } from "./login/purge.js";
import {
  LIMIT_NAMES,
  LOGIN_OUTCOMES,
  PURGED_TABLES,
  REFUSAL_ROWS,
  REFRESH_OUTCOMES,
  RESTORE_CAUSES,
  type LoginOutcome,
  type LoginReason,
  type RefreshOutcome,
  type RefreshReason,
  type RefusalRow,
} from "./sessions-series.js";

export interface SessionsCounters {
  readonly login: (outcome: LoginOutcome, reason: LoginReason) => void;
  readonly refresh: (outcome: RefreshOutcome, reason: RefreshReason) => void;
  readonly reuse: () => void;
  readonly lockout: () => void;
  readonly limited: (limit: LimitName) => void;
  readonly refusedAct: (row: RefusalRow) => void;
  readonly published: (by: "request" | "relay", count: number) => void;
  readonly imported: (count: number) => void;
  readonly restored: (cause: RestoreCause) => void;
  readonly purged: (rows: PurgedRows) => void;
}

export function sessionsCounters(registry: Registry): SessionsCounters {
  const published = counter(registry, {
    name: "sekisho_revocations_published_total",
    help: "Revocations published: at once by the request, or later by the relay.",
    series: [{ by: "request" }, { by: "relay" }],
  });
  const imported = counter(registry, {
    name: "sekisho_revocations_imported_total",
    help: "Revocations found in the log that were published past the service.",
  });
  const restores = counter(registry, {
    name: "sekisho_log_restores_total",
    help: "Times the log was restored.",
    series: RESTORE_CAUSES.map((cause) => ({ cause })),
  });
  const refusedActs = counter(registry, {
    name: "sekisho_refused_acts_total",
    help: "Acts and refreshes refused to known users, by what became of the audit trail's row.",
    series: REFUSAL_ROWS.map((row) => ({ row })),
  });
  const purged = counter(registry, {
    name: "sekisho_purged_rows_total",
    help: "Expired rows deleted.",
    series: Object.values(PURGED_TABLES).map((table) => ({ table })),
  });
  return {
    ...sessionCounters(registry),
    published: (by, count) => published.inc({ by }, count),
    imported: (count) => imported.inc(count),
    refusedAct: (row) => refusedActs.inc({ row }),
    restored: (cause) => restores.inc({ cause }),
    purged: ({ refreshTokens, sessions, loginFailures, revocations }) => {
      purged.inc({ table: PURGED_TABLES.refreshTokens }, refreshTokens);
      purged.inc({ table: PURGED_TABLES.sessions }, sessions);
      purged.inc({ table: PURGED_TABLES.loginFailures }, loginFailures);
      purged.inc({ table: PURGED_TABLES.revocations }, revocations);
    },
  };
}

function sessionCounters(
  registry: Registry,
): Pick<SessionsCounters, "login" | "refresh" | "reuse" | "lockout" | "limited"> {
  const logins = counter(registry, {
    name: "sekisho_login_total",
    help: "Logins. `refused` and `limited` are the user's side, `failed` is the system's.",
    series: Object.entries(LOGIN_OUTCOMES).map(([reason, outcome]) => ({ outcome, reason })),
  });
  const refreshes = counter(registry, {
    name: "sekisho_refresh_total",
    help: "Refreshes. `refused` and `limited` are the user's side, `failed` is the system's.",
    series: Object.entries(REFRESH_OUTCOMES).map(([reason, outcome]) => ({ outcome, reason })),
  });
  const reuses = counter(registry, {
    name: "sekisho_refresh_reuse_total",
    help: "Refresh tokens that were used after they had been replaced; their sessions were ended.",
  });
  const lockouts = counter(registry, {
    name: "sekisho_lockouts_total",
    help: "Logins that were locked.",
  });
  const limits = counter(registry, {
    name: "sekisho_limits_hit_total",
    help: "Requests refused by a limit.",
    series: LIMIT_NAMES.map((limit) => ({ limit })),
  });
  return {
    login: (outcome, reason) => logins.inc({ outcome, reason }),
    refresh: (outcome, reason) => refreshes.inc({ outcome, reason }),
    reuse: () => reuses.inc(),
    lockout: () => lockouts.inc(),
    limited: (limit) => limits.inc({ limit }),
  };
}

function counter(
  registry: Registry,
  one: {
    readonly name: string;
    readonly help: string;
    /** The labels of each; a counter without labels is one series by itself. */
    readonly series?: readonly Readonly<Record<string, string>>[];
  },
): Counter {
  const { name, help, series = [] } = one;
  const labelNames = Object.keys(series[0] ?? {});
  const made = new Counter({ name, help, labelNames, registers: [registry] });
  for (const labels of series) made.inc(labels, 0);
  return made;
}
