/** `/statusz`: this node's state, for people and scripts. */
import type { AuthzConfig } from "./authz-config.js";
import type { Follower } from "./follow/follower.js";
import type { LocalState } from "./follow/local-state.js";
import type { IssuerKeys } from "../tokens/issuer-keys.js";
import type { Issuer } from "../tokens/issuer.js";

interface StatusDependencies {
  readonly config: AuthzConfig;
  readonly follower: Pick<Follower, "status" | "stalenessMs" | "freshness" | "keptAgeMs">;
  readonly state: Pick<LocalState, "counts" | "saturated" | "unreadable">;
  readonly trusted: readonly {
    readonly issuer: Issuer;
    readonly keys: Pick<IssuerKeys, "status">;
  }[];
}

/** null for what has never happened. */
export function authzStatus({ config, follower, state, trusted }: StatusDependencies): object {
  const { state: following, group, generation, seq, problem } = follower.status();
  const { provenAt, coversFromMs } = follower.freshness;
  return {
    node: config.nodeId,
    state: following,
    problem: problem?.message ?? null,
    group: group ?? null,
    generation: generation ?? null,
    seq: seq ?? null,
    staleness_ms: provenAt === undefined ? null : Math.round(follower.stalenessMs()),
    kept_age_ms: wholeMs(follower.keptAgeMs()),
    max_staleness_ms: config.maxStalenessMs,
    on_stale: config.onStale,
    covers_from: provenAt === undefined ? null : new Date(coversFromMs).toISOString(),
    entries: state.counts,
    saturated: state.saturated,
    unreadable: state.unreadable,
    keys: trusted.map(({ issuer, keys }) => {
      const { loadedAgeMs, keys: count, lastProblem } = keys.status();
      const ageS = loadedAgeMs === undefined ? null : Math.round(loadedAgeMs / 1000);
      return { issuer: issuer.issuer, keys: count, age_s: ageS, problem: lastProblem ?? null };
    }),
  };
}

function wholeMs(ms: number | undefined): number | null {
  return ms === undefined || ms === Infinity ? null : Math.round(ms);
}
