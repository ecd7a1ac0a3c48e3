/**
 * The answer when it is uncertain whether a token is revoked: `deny` (503), `allow`, or
 * `error` (the RPC fails, and Envoy's `failure_mode_allow` governs).
 */
export const ON_STALE = ["deny", "allow", "error"] as const;
export type OnStale = (typeof ON_STALE)[number];
