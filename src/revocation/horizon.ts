/**
 * How long a revocation must be remembered, in seconds: as long as a token minted before it can
 * still be accepted somewhere. Twice the skew, because the issuer's clock may be ahead and the
 * verifying node's clock behind; a minute more for what a publisher may reach into the future.
 */
export const HORIZON_MARGIN_S = 60;

export function horizonS(maxTokenLifetimeS: number, clockSkewS: number): number {
  return maxTokenLifetimeS + 2 * clockSkewS + HORIZON_MARGIN_S;
}
