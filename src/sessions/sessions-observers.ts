/** The events of the session service, as log lines and metrics. */
import { Counter, type Registry } from "prom-client";
import type { Clock } from "../runtime/clock.js";
import type { RefusalObserver } from "./audit/refusal-trail.js";
import type { OutboxObserver } from "./outbox/log-outbox.js";
import type { RelayObserver } from "./outbox/relay-observer.js";
import type { LoginObserver, RefreshObserver } from "./login/observers.js";
import type { PurgeObserver } from "./login/purge.js";
import type { DatabaseWatchObserver } from "./database-watch.js";
import { PARTITION } from "../revocation-log/partition.js";
import type { Logger } from "../runtime/log.js";
import { loggedTenant } from "../runtime/logged-value.js";
import {
  LIMIT_NAMES,
  LOGIN_OUTCOMES,
  PURGED_TABLES,
  REFUSAL_ROWS,
  REFRESH_OUTCOMES,
  RESTORE_CAUSES,
} from "./sessions-series.js";

export interface SessionsObservers {
  readonly sessions: LoginObserver & RefreshObserver;
  readonly refusals: RefusalObserver;
  readonly outbox: OutboxObserver;
  readonly relay: RelayObserver;
  readonly purge: PurgeObserver;
  readonly keys: (problem: string | undefined) => void;
  readonly watch: DatabaseWatchObserver;
  readonly limits: {
    readonly onFallback: (reason: string) => void;
    readonly onRecovered: () => void;
  };
}

export function sessionsObservers(
  log: Logger,
  registry: Registry,
  clock: Clock,
): SessionsObservers {
  const published = counter(registry, {
    name: "sekisho_revocations_published_total",
    help: "Revocations published: at once by the request, or later by the relay.",
    series: [{ by: "request" }, { by: "relay" }],
  });
  return {
    sessions: loginObserver(log, registry, clock),
    refusals: refusalObserver(log, registry),
    outbox: outboxObserver(log, published),
    relay: relayObserver(log, registry, published),
    purge: purgeObserver(log, registry),
    keys: onChange(
      (problem) => log.warn({ problem }, "signing keys could not be reloaded"),
      () => log.info("signing keys reloaded"),
    ),
    watch: {
      database: (problem) => {
        if (problem === undefined) log.info("the database answers");
        else log.error({ problem }, "the database does not answer");
      },
      clock: (problem) => {
        if (problem === undefined) log.info("the clocks agree again");
        else log.error({ problem }, "the clocks differ");
      },
    },
    limits: {
      onFallback: (reason) => {
        log.warn({ problem: reason }, "limits are counted in this process: Redis is unavailable");
      },
      onRecovered: () => log.info("limits are counted in Redis"),
    },
  };
}

function loginObserver(
  log: Logger,
  registry: Registry,
  clock: Clock,
): SessionsObservers["sessions"] {
  const limitLines = new LimitLines(clock);
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
    // The client's faults are in the audit trail; the system's are logged with the request.
    onLogin: (outcome, reason) => logins.inc({ outcome, reason }),
    onRefresh: (outcome, reason) => refreshes.inc({ outcome, reason }),
    onReuse: ({ tenant, address, eventId }) => {
      reuses.inc();
      log.warn(
        { tenant, address, event_id: eventId },
        "a refresh token was used again after it had been replaced: its session was ended",
      );
    },
    onLockout: ({ tenant, address }) => {
      lockouts.inc();
      const from = { tenant: loggedTenant(tenant), address };
      log.warn(from, "a login was locked after too many failures");
    },
    onLimit: (limit, { tenant, address }) => {
      limits.inc({ limit });
      limitLines.log(log, { limit, tenant: loggedTenant(tenant), address });
    },
  };
}

/** Between two lines about limits: a client over a limit usually keeps trying. */
const LIMIT_LINE_GAP_MS = 1000;

/** At most one line a second, with the number of lines left out. */
class LimitLines {
  readonly #clock: Clock;
  #loggedAtMs = -Infinity;
  #leftOut = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  log(log: Logger, who: Readonly<Record<string, string | undefined>>): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#loggedAtMs < LIMIT_LINE_GAP_MS) {
      this.#leftOut += 1;
      return;
    }
    log.warn({ ...who, left_out: this.#leftOut }, "refused by a limit");
    this.#loggedAtMs = nowMs;
    this.#leftOut = 0;
  }
}

function refusalObserver(log: Logger, registry: Registry): RefusalObserver {
  const rows = counter(registry, {
    name: "sekisho_refused_acts_total",
    help: "Acts and refreshes refused to known users, by what became of the audit trail's row.",
    series: REFUSAL_ROWS.map((row) => ({ row })),
  });
  const report = onChange(
    (problem) => log.warn({ problem }, "refused acts could not be written to the audit trail"),
    () => log.info("refused acts are written to the audit trail again"),
  );
  return {
    onWritten: () => {
      rows.inc({ row: "written" });
      report(undefined);
    },
    onLeftOut: () => rows.inc({ row: "left_out" }),
    onFailed: (error) => {
      rows.inc({ row: "failed" });
      report(messageOf(error));
    },
  };
}

function outboxObserver(log: Logger, published: Counter): OutboxObserver {
  return {
    onPublished: (count) => published.inc({ by: "request" }, count),
    onLeft: (count, code) => {
      log.warn(
        { count, code },
        "revocations are committed but not published yet: left to the relay",
      );
    },
    onRecordingFailed: (error) => {
      log.warn(
        { problem: messageOf(error) },
        "published revocations could not be recorded as such: they will be published again",
      );
    },
  };
}

function relayObserver(log: Logger, registry: Registry, published: Counter): RelayObserver {
  const imports = counter(registry, {
    name: "sekisho_revocations_imported_total",
    help: "Revocations found in the log that were published past the service.",
  });
  const restores = counter(registry, {
    name: "sekisho_log_restores_total",
    help: "Times the log was restored.",
    series: RESTORE_CAUSES.map((cause) => ({ cause })),
  });
  return {
    onLock: (held) => log.info(held ? "this instance relays" : "this instance no longer relays"),
    onPublished: (count) => {
      published.inc({ by: "relay" }, count);
      log.info({ count }, "the relay published revocations");
    },
    onImported: (imported, unreadable) => {
      imports.inc(imported);
      log.warn(
        { imported, unreadable },
        "found revocations in the log that were published past this service",
      );
    },
    onRestored: ({ cause, seq, entries, imported, tookMs }) => {
      restores.inc({ cause });
      log.warn(
        { cause, partition: PARTITION, seq, entries, imported, took_ms: Math.round(tookMs) },
        "restored the revocation log",
      );
    },
    onProblem: (problem) => {
      if (problem === undefined)
        log.info({ partition: PARTITION }, "the revocation log is complete");
      else {
        const { code, message } = problem;
        log.warn(
          { partition: PARTITION, code, problem: message },
          "the revocation log cannot be kept up to date",
        );
      }
    },
  };
}

function purgeObserver(log: Logger, registry: Registry): PurgeObserver {
  const purged = counter(registry, {
    name: "sekisho_purged_rows_total",
    help: "Expired rows deleted.",
    series: Object.values(PURGED_TABLES).map((table) => ({ table })),
  });
  return {
    onPurged: ({ refreshTokens, sessions, loginFailures, revocations }) => {
      purged.inc({ table: PURGED_TABLES.refreshTokens }, refreshTokens);
      purged.inc({ table: PURGED_TABLES.sessions }, sessions);
      purged.inc({ table: PURGED_TABLES.loginFailures }, loginFailures);
      purged.inc({ table: PURGED_TABLES.revocations }, revocations);
    },
    onPurgeFailed: (error) =>
      log.warn({ problem: messageOf(error) }, "expired rows could not be deleted"),
  };
}

/** Reports a problem once, and once when it has passed. */
function onChange(
  reportProblem: (problem: string) => void,
  reportEnd: () => void,
): (problem: string | undefined) => void {
  let last: string | undefined;
  return (problem) => {
    if (problem === last) return;
    if (problem === undefined) reportEnd();
    else reportProblem(problem);
    last = problem;
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Every series starts with 0. */
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
