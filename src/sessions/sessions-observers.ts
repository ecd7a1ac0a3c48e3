/** The events of the session service, as log lines and metrics. */
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
import type { SessionsMetrics } from "./sessions-metrics.js";

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
  metrics: SessionsMetrics,
  clock: Clock,
): SessionsObservers {
  const limitLines = new LimitLines(clock);
  return {
    sessions: {
      onLogin: (outcome, reason) => {
        // The client's faults are in the audit trail; the system's are logged with the request.
        metrics.login(outcome, reason);
      },
      onRefresh: (outcome, reason) => metrics.refresh(outcome, reason),
      onReuse: ({ tenant, address, eventId }) => {
        metrics.reuse();
        log.warn(
          { tenant, address, event_id: eventId },
          "a refresh token was used again after it had been replaced: its session was ended",
        );
      },
      onLockout: ({ tenant, address }) => {
        metrics.lockout();
        const from = { tenant: loggedTenant(tenant), address };
        log.warn(from, "a login was locked after too many failures");
      },
      onLimit: (limit, { tenant, address }) => {
        metrics.limited(limit);
        limitLines.log(log, { limit, tenant: loggedTenant(tenant), address });
      },
    },
    refusals: refusalObserver(log, metrics),
    outbox: outboxObserver(log, metrics),
    relay: relayObserver(log, metrics),
    purge: {
      onPurged: metrics.purged,
      onPurgeFailed: (error) =>
        log.warn({ problem: messageOf(error) }, "expired rows could not be deleted"),
    },
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

function refusalObserver(log: Logger, metrics: SessionsMetrics): RefusalObserver {
  const report = onChange(
    (problem) => log.warn({ problem }, "refused acts could not be written to the audit trail"),
    () => log.info("refused acts are written to the audit trail again"),
  );
  return {
    onWritten: () => {
      metrics.refusedAct("written");
      report(undefined);
    },
    onLeftOut: () => metrics.refusedAct("left_out"),
    onFailed: (error) => {
      metrics.refusedAct("failed");
      report(messageOf(error));
    },
  };
}

function outboxObserver(log: Logger, metrics: SessionsMetrics): OutboxObserver {
  return {
    onPublished: (count) => metrics.published("request", count),
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

function relayObserver(log: Logger, metrics: SessionsMetrics): RelayObserver {
  return {
    onLock: (held) => log.info(held ? "this instance relays" : "this instance no longer relays"),
    onPublished: (count) => {
      metrics.published("relay", count);
      log.info({ count }, "the relay published revocations");
    },
    onImported: (imported, unreadable) => {
      metrics.imported(imported);
      log.warn(
        { imported, unreadable },
        "found revocations in the log that were published past this service",
      );
    },
    onRestored: ({ cause, seq, entries, imported, tookMs }) => {
      metrics.restored(cause);
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
