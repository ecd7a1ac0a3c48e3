/** Turns the sidecar's events into log lines and metrics. */
import type { ConnectionsObserver } from "./check/check-connections.js";
import type { CheckObserver } from "./check/check-handler.js";
import type { Checked } from "./check/check.js";
import { routePolicyFault } from "./check/route-policy.js";
import type { FollowerObserver } from "./follow/follower-observer.js";
import type { ResyncCause } from "./follow/log-order.js";
import type { IssuerKeysOptions } from "../tokens/issuer-keys.js";
import { UNPROTECTED_FAILOVER } from "./authz-components.js";
import type { AuthzMetrics } from "./authz-metrics.js";
import type { Logger } from "../runtime/log.js";
import { loggedRequestId } from "../runtime/logged-value.js";

interface AuthzObservers {
  readonly check: CheckObserver;
  readonly connections: ConnectionsObserver;
  readonly follower: FollowerObserver;
  readonly keys: (issuer: string) => NonNullable<IssuerKeysOptions["onRefresh"]>;
}

export function authzObservers(log: Logger, metrics: AuthzMetrics): AuthzObservers {
  let lastCause: ResyncCause | undefined;
  return {
    check: {
      checked: (checked, durationMs) => {
        const { decision } = checked;
        const allowed = decision.kind === "allow" || decision.kind === "allow_anonymous";
        const label = allowed ? "allow" : decision.kind;
        metrics.checked(label, decision.reason, durationMs);
        if (!allowed) log.info(denialFields(checked, durationMs), "denied");
      },
      cancelled: metrics.cancelled,
      failed: (error) => log.error({ err: error }, "a check failed"),
    },
    connections: {
      ended: (cause) => {
        metrics.connectionEnded(cause);
        log.debug({ cause }, "connection ended");
      },
    },
    follower: {
      applied: (entry, lagMs) => {
        if (lagMs !== undefined) metrics.applied(lagMs);
        if (entry.kind !== "unreadable") return;
        metrics.unreadable();
        const { id, seq, scope } = entry;
        const fields = { entry_id: id, seq, tenant: scope?.tenant };
        log.error(
          fields,
          "an entry of the log cannot be read: is this node older than the publisher?",
        );
      },
      resync: (cause, why) => {
        metrics.resync(cause);
        // A log that cannot be followed is reread on every attempt: `info` only for a new cause.
        log[cause === lastCause ? "debug" : "info"]({ cause, why }, "reading the whole log");
        lastCause = cause;
      },
      continued: () => {
        metrics.continued();
        log.info("the log was restored without loss: reading only what is new");
      },
      problem: (problem) => {
        if (problem === undefined) {
          lastCause = undefined;
          log.info("in step with the revocation log");
        } else
          log.warn({ code: problem.code, problem: problem.message }, "not in step with the log");
      },
      unprotectedFailover: (replicas) => {
        log.warn({ replicas, advice: UNPROTECTED_FAILOVER }, "a failover may lose revocations");
      },
    },
    keys: (issuer) => keyObserver(issuer, log, metrics),
  };
}

/** One line when something changes, not one for each load. */
function keyObserver(
  issuer: string,
  log: Logger,
  metrics: AuthzMetrics,
): NonNullable<IssuerKeysOptions["onRefresh"]> {
  let lastReported: string | undefined;
  return (result, detail) => {
    metrics.jwksRefresh(result);
    const report = `${result === "failed" ? "failed" : "good"} ${detail ?? ""}`;
    if (report === lastReported && result !== "ok") return;
    lastReported = report;
    if (result === "failed") log.warn({ issuer, problem: detail }, "keys not loaded");
    else if (detail === undefined) log.info({ issuer }, "keys loaded");
    else log.warn({ issuer, problem: detail }, "keys loaded, some cannot be used");
  };
}

function denialFields(checked: Checked, durationMs: number): Record<string, unknown> {
  const { decision, http } = checked;
  const token = "token" in decision ? decision.token : undefined;
  return {
    decision: decision.kind,
    reason: decision.reason,
    doubt: "uncertainty" in decision ? decision.uncertainty : undefined,
    tenant: token?.tenant,
    user: token?.user,
    session: token?.session,
    request_id: loggedRequestId(http?.requestId),
    trace_id: loggedRequestId(http?.traceId),
    route_fault:
      decision.reason === "route_policy_invalid"
        ? routePolicyFault(http?.contextExtensions ?? {})
        : undefined,
    duration_ms: Math.round(durationMs * 1000) / 1000,
  };
}
