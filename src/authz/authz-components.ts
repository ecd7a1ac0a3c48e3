/** The sidecar's health, by component. */
import type { Follower } from "./follow/follower.js";
import { unkeptMessage } from "./follow/log-examination.js";
import type { LocalState } from "./follow/local-state.js";
import type { IssuerKeys } from "../tokens/issuer-keys.js";
import type { Issuer } from "../tokens/issuer.js";
import { HEALTHY, type Component, type Components } from "../runtime/health.js";

/**
 * How long a node waits for the first keys of every issuer. After that it serves the issuers whose
 * keys it has: one that is down must not block the tokens of the others.
 */
export const KEYS_AWAITED_MS = 30_000;

interface ComponentDependencies {
  readonly follower: Pick<Follower, "status" | "stalenessMs" | "freshness" | "keptAgeMs">;
  readonly state: Pick<LocalState, "saturated" | "unreadable">;
  readonly trusted: readonly {
    readonly issuer: Issuer;
    readonly keys: Pick<IssuerKeys, "status">;
  }[];
  /** `upForMs`: since the start, by the monotonic clock. */
  readonly life: { readonly ready: boolean; readonly closing: boolean; readonly upForMs: number };
  readonly limits: {
    readonly maxStalenessMs: number;
    readonly skewMs: number;
    readonly maxTokenLifetimeS: number;
  };
  readonly nowMs: number;
}

export const UNPROTECTED_FAILOVER =
  "Redis has replicas, but SEKISHO_REDIS_MIN_REPLICAS is 0: a failover may lose revocations that were " +
  "acknowledged; set it to half of the replicas, rounded up, on the session service and on every node";

/** The session service stamps its log every second. */
const KEPT_AGE_MAX_MS = 5000;

/**
 * A node becomes ready with its first proof of freshness and the first keys of every issuer (after
 * `KEYS_AWAITED_MS`, of at least one), and stays ready until shutdown. Later problems are `degraded`:
 * failing the probe would take every API pod out of service for a short Redis outage, where the
 * staleness policy gives the better answer.
 */
export function authzComponents(dependencies: ComponentDependencies): Components {
  return {
    redis: redis(dependencies),
    revocations: revocations(dependencies),
    keys: keys(dependencies),
    shutdown: dependencies.life.closing
      ? { status: "failed", detail: "this node is shutting down" }
      : HEALTHY,
  };
}

function trouble({ life }: ComponentDependencies, detail: string): Component {
  return { status: life.ready ? "degraded" : "failed", detail };
}

function redis(dependencies: ComponentDependencies): Component {
  const { problem, state } = dependencies.follower.status();
  if (problem?.code === "unreachable") return trouble(dependencies, problem.message);
  if (problem === undefined && state === "connecting") return trouble(dependencies, "connecting");
  return HEALTHY;
}

function revocations(dependencies: ComponentDependencies): Component {
  const { problem, state } = dependencies.follower.status();
  const stalenessMs = dependencies.follower.stalenessMs();
  if (stalenessMs > dependencies.limits.maxStalenessMs) {
    const since =
      stalenessMs === Infinity
        ? "not yet in step with the revocation log"
        : `stale for ${Math.round(stalenessMs)} ms`;
    return trouble(dependencies, `${since}: ${problem?.message ?? state}`);
  }
  if (dependencies.state.saturated) {
    // Degraded even before the node is ready: waiting does not help, and the policy still answers.
    const advice = "raise SEKISHO_REVOCATIONS_MAX_ENTRIES";
    return { status: "degraded", detail: `more revocations than fit in memory: ${advice}` };
  }
  if (dependencies.state.unreadable) {
    const detail = "the log has an entry that this version cannot read: upgrade this node";
    return { status: "degraded", detail };
  }
  const keptAgeMs = dependencies.follower.keptAgeMs();
  if (keptAgeMs !== undefined && keptAgeMs > KEPT_AGE_MAX_MS) {
    return { status: "degraded", detail: unkeptMessage(keptAgeMs) };
  }
  return coverage(dependencies);
}

/** A log that was recently opened, replaced or given a longer horizon does not cover older tokens. */
function coverage({ follower, limits, nowMs }: ComponentDependencies): Component {
  const coveredMs = follower.freshness.coversFromMs + limits.skewMs;
  const endsMs = coveredMs + limits.maxTokenLifetimeS * 1000 + limits.skewMs;
  if (endsMs <= nowMs) {
    const { unprotectedReplicas } = follower.status();
    return unprotectedReplicas > 0 ? { status: "ok", detail: UNPROTECTED_FAILOVER } : HEALTHY;
  }
  const detail =
    `tokens issued before ${new Date(coveredMs).toISOString()} are older than the log and treated ` +
    `as stale; the last of them has expired by ${new Date(endsMs).toISOString()}`;
  return { status: "degraded", detail };
}

function keys(dependencies: ComponentDependencies): Component {
  const missing = dependencies.trusted.flatMap(({ issuer, keys: issuerKeys }) => {
    const { keys: count, lastProblem } = issuerKeys.status();
    return count > 0 ? [] : [`${issuer.issuer}: ${lastProblem ?? "not loaded yet"}`];
  });
  if (missing.length > 0) {
    const detail = missing.join("; ");
    const some = missing.length < dependencies.trusted.length;
    if (some && dependencies.life.upForMs >= KEYS_AWAITED_MS) return { status: "degraded", detail };
    return trouble(dependencies, detail);
  }
  const failing = dependencies.trusted.flatMap(({ issuer, keys: issuerKeys }) => {
    const { lastProblem } = issuerKeys.status();
    return lastProblem === undefined ? [] : [`${issuer.issuer}: ${lastProblem}`];
  });
  if (failing.length > 0) return { status: "degraded", detail: failing.join("; ") };
  return HEALTHY;
}
