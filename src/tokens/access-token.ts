/**
 * The claims of an access token with verified form, key and signature (RFC 7519, RFC 9068). Times are
 * Unix seconds as the issuer wrote them and may have fractions.
 */
export interface AccessToken {
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly tenant: string;
  readonly user: string;
  readonly session: string;
  /** 0 where the issuer has no epochs. */
  readonly epoch: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly notBefore: number | undefined;
  readonly scopes: ReadonlySet<string>;
}
