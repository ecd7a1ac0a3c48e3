/** What a cut-off may reach into the future fits into this many seconds. */
const HORIZON_MARGIN_S = 60;

/**
 * How far a cut-off may reach into the future: `now` is taken as now + skew + 1 s, rounded up. Well
 * within the margin, and small enough that a log which replaces another one can make up for it.
 */
export const CUT_OFF_MARGIN_S = 2;

export function cutOffAheadMaxS(clockSkewS: number): number {
  return clockSkewS + CUT_OFF_MARGIN_S;
}

/**
 * How long a revocation must be remembered, in seconds: as long as a token minted before it can
 * still be accepted somewhere. Twice the skew, because the issuer's clock may be ahead and the
 * verifying node's clock behind, and a minute more.
 */
export function horizonS(maxTokenLifetimeS: number, clockSkewS: number): number {
  return maxTokenLifetimeS + 2 * clockSkewS + HORIZON_MARGIN_S;
}
