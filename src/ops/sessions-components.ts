/**
 * The session service's health as components. It becomes ready once its tables are up to date and
 * there is a key to sign with, and then stays ready until shutdown: what fails later is answered
 * with 503 by the API itself and is *degraded* here, because taking every instance out of service
 * would leave no answer at all.
 */
import { HEALTHY, type Component, type Components } from "./health.js";

export interface SessionsState {
  readonly life: { readonly prepared: boolean; readonly closing: boolean };
  /** What has kept it from being prepared so far. */
  readonly preparationProblem: string | undefined;
  readonly databaseProblem: string | undefined;
  readonly keysProblem: string | undefined;
  /** What keeps revocations from being published, or the log from being whole. */
  readonly logProblem: string | undefined;
  /** Committed, not yet known to be published; undefined: not known. */
  readonly pending:
    { readonly count: number; readonly oldestAgeMs: number | undefined } | undefined;
  readonly limitsProblem: string | undefined;
}

/** A revocation that waits longer than this is worth a person's look. */
const PENDING_NOTABLE_MS = 2000;

export function sessionsComponents(state: SessionsState): Components {
  return {
    service: state.life.closing ? { status: "failed", detail: "shutting down" } : HEALTHY,
    database: trouble(state, state.databaseProblem ?? preparing(state)),
    signing_keys: trouble(state, state.keysProblem),
    revocation_log: revocationLog(state),
    login_limits:
      state.limitsProblem === undefined
        ? HEALTHY
        : degraded(`counted in this process only, for Redis is away: ${state.limitsProblem}`),
  };
}

function trouble(state: SessionsState, problem: string | undefined): Component {
  if (problem === undefined) return HEALTHY;
  return { status: state.life.prepared ? "degraded" : "failed", detail: problem };
}

function preparing(state: SessionsState): string | undefined {
  if (state.life.prepared) return undefined;
  return state.preparationProblem ?? "bringing the tables up to date";
}

function revocationLog({ logProblem, pending }: SessionsState): Component {
  const waiting = pending === undefined || pending.count === 0 ? undefined : pending;
  const oldestAgeMs = waiting?.oldestAgeMs ?? 0;
  if (logProblem === undefined && oldestAgeMs < PENDING_NOTABLE_MS) return HEALTHY;
  const behind =
    waiting === undefined
      ? ""
      : `; ${waiting.count} revocations are not in force yet, the oldest for ${Math.round(oldestAgeMs / 1000)} s`;
  return degraded(`${logProblem ?? "revocations wait to be published"}${behind}`);
}

function degraded(detail: string): Component {
  return { status: "degraded", detail };
}
