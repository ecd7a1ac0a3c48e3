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
  /** undefined: it has none that is an identifier, and can be revoked by its digest only. */
  readonly jti: string | undefined;
  /** The OAuth client: `client_id` (RFC 9068, section 2.2), else `azp` (OpenID Connect Core). */
  readonly client: string | undefined;
  /** SHA-256 of what was signed, `header.payload`, in base64url: the signature itself can be altered. */
  readonly signedDigest: string;
  /** RFC 7638, SHA-256: the key that verified the signature. */
  readonly keyThumbprint: string;
}

/** What names an access token in the revocation log, directly or with others. */
export type TokenNames = Pick<
  AccessToken,
  "tenant" | "user" | "session" | "issuer" | "jti" | "client" | "signedDigest" | "keyThumbprint"
>;
