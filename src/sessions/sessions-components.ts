/**
 * The session service's health as components. It becomes ready once its tables are up to date and
 * it has a signing key, and then stays ready until shutdown. A later failure is answered with 503
 * by the API itself and is *degraded* here, because taking every instance out of service would
 * leave no answer at all.
 */
import { HEALTHY, type Component, type Components } from "../runtime/health.js";

export interface SessionsState {
  readonly life: { readonly prepared: boolean; readonly closing: boolean };
  /** Why the tables are not up to date yet. */
  readonly tablesProblem: string | undefined;
  readonly tablesUpToDate: boolean;
  readonly databaseProblem: string | undefined;
  /** How this machine's clock differs from the database's. */
  readonly clockProblem: string | undefined;
  readonly keysProblem: string | undefined;
  /** Why revocations cannot be published, or why the log is incomplete. */
  readonly logProblem: string | undefined;
  /** Refreshes are refused, because the log was not searched for this long; undefined: not. */
  readonly gatedAfterMs: number | undefined;
  /** Committed, not yet known to be published; undefined: not known. */
  readonly pending:
    { readonly count: number; readonly oldestAgeMs: number | undefined } | undefined;
  readonly limitsProblem: string | undefined;
}

/** A revocation that waits longer than this is reported. */
const PENDING_NOTABLE_MS = 2000;

export function sessionsComponents(state: SessionsState): Components {
  return {
    service: state.life.closing ? { status: "failed", detail: "shutting down" } : HEALTHY,
    database: trouble(state, state.databaseProblem ?? updatingTables(state)),
    clock: state.clockProblem === undefined ? HEALTHY : degraded(state.clockProblem),
    signing_keys: trouble(state, state.keysProblem ?? loadingKeys(state)),
    revocation_log: revocationLog(state),
    login_limits:
      state.limitsProblem === undefined
        ? HEALTHY
        : degraded(
            `counted in this process only, because Redis is unavailable: ${state.limitsProblem}`,
          ),
  };
}

function trouble(state: SessionsState, problem: string | undefined): Component {
  if (problem === undefined) return HEALTHY;
  return { status: state.life.prepared ? "degraded" : "failed", detail: problem };
}

function updatingTables(state: SessionsState): string | undefined {
  if (state.tablesUpToDate) return undefined;
  return state.tablesProblem ?? "updating the tables";
}

function loadingKeys(state: SessionsState): string | undefined {
  return state.life.prepared ? undefined : "no signing key has been loaded yet";
}

function revocationLog({ life, ...log }: SessionsState): Component {
  if (!life.prepared) return { status: "failed", detail: "not checked yet" };
  const problems = [publishingProblem(log), gatedProblem(log)].filter((one) => one !== undefined);
  return problems.length === 0 ? HEALTHY : degraded(problems.join("; "));
}

function publishingProblem({
  logProblem,
  pending,
}: Pick<SessionsState, "logProblem" | "pending">): string | undefined {
  const waiting = pending === undefined || pending.count === 0 ? undefined : pending;
  const oldestAgeMs = waiting?.oldestAgeMs ?? 0;
  if (logProblem === undefined && oldestAgeMs < PENDING_NOTABLE_MS) return undefined;
  const behind =
    waiting === undefined
      ? ""
      : `; not in force yet: ${waiting.count}, the oldest for ${Math.round(oldestAgeMs / 1000)} s`;
  return `${logProblem ?? "revocations are waiting to be published"}${behind}`;
}

function gatedProblem({ gatedAfterMs }: Pick<SessionsState, "gatedAfterMs">): string | undefined {
  if (gatedAfterMs === undefined) return undefined;
  return (
    `refreshes are refused, because no instance has searched the log for ` +
    `${Math.round(gatedAfterMs / 1000)} s (SEKISHO_REFRESH_UNSEARCHED_MAX_S)`
  );
}

function degraded(detail: string): Component {
  return { status: "degraded", detail };
}
