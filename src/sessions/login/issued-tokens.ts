/** What a login or a refresh returns. Secret: for the answer only, never for a log. */
export interface IssuedTokens {
  readonly accessToken: string;
  /** Seconds. */
  readonly expiresInS: number;
  readonly refreshToken: string;
  readonly sessionId: string;
  /** Opened with a one-time password that has not been replaced yet. */
  readonly passwordChangeOnly: boolean;
}
