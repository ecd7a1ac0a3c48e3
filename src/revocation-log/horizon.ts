/** A margin in seconds that covers how far a cut-off may reach into the future. */
const HORIZON_MARGIN_S = 60;

/**
 * How far a cut-off may reach into the future: `now` means now + skew + 1 s, rounded up. Well within
 * the margin, and small enough for a log that replaces another one to allow for it.
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
