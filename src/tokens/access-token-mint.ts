/** What a new access token says (RFC 9068, section 2.2, and DESIGN's own claims). */
export interface TokenFacts {
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  readonly epoch: number;
  readonly scopes: readonly string[];
  /** Unix seconds; taken before the epoch was read, under lock. */
  readonly issuedAtS: number;
}
