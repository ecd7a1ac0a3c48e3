/** What an entry of the log does to the local state. */
import { entryTimeMs, type LogEntry } from "../../revocation-log/entry.js";
import type { LocalState } from "./local-state.js";

/**
 * Applies `entry`, to be remembered until the last token that it revokes has expired.
 *
 * The horizon may have been raised since the entry was written, and with it the time for which a
 * token can outlive its revocation: the later of the entry's own end and the horizon's counts.
 * `nowMs`: the wall clock, for an entry whose ID holds no time.
 */
export function applyEntry(
  state: LocalState,
  entry: LogEntry,
  limits: { readonly horizonS: number; readonly skewMs: number },
  nowMs: number,
): void {
  const horizonEndMs = (entryTimeMs(entry.id) ?? nowMs) + limits.horizonS * 1000 + limits.skewMs;
  if (entry.kind === "revocation") {
    state.apply(entry.revocation, Math.max(entry.forgetAtMs, horizonEndMs));
  } else if (entry.kind === "unreadable") {
    const { scope } = entry;
    if (scope === undefined) state.markAllUncertain(horizonEndMs);
    else state.markTenantUncertain(scope.tenant, Math.max(scope.forgetAtMs, horizonEndMs));
  }
}
