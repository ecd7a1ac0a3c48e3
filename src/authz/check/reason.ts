/**
 * Why a request was allowed or denied: a closed list. The response's metadata, the log and the
 * metrics use the same string.
 */

interface ReasonFacts {
  /** HTTP status of the answer; undefined for an allow. */
  readonly status: 400 | 401 | 403 | 500 | 503 | undefined;
  /** One line for people, without anything about this particular request. */
  readonly title: string;
}

export const REASONS = {
  allowed: { status: undefined, title: "The token is valid and not revoked" },
  allowed_anonymous: { status: undefined, title: "No token is needed on this route" },
  allowed_stale: {
    status: undefined,
    title: "Not known to be revoked; this route tolerates a stale revocation log",
  },
  request_malformed: { status: 400, title: "The check is not about an HTTP request" },
  token_missing: { status: 401, title: "An access token is required" },
  token_malformed: { status: 401, title: "The access token is not a well-formed JWS" },
  token_algorithm_forbidden: { status: 401, title: "The token's algorithm is not allowed" },
  token_key_unknown: { status: 401, title: "The token's key is not known" },
  token_signature_invalid: { status: 401, title: "The token's signature is wrong" },
  token_issuer_unknown: { status: 401, title: "The token's issuer is not known" },
  token_audience_mismatch: { status: 401, title: "The token is meant for another audience" },
  token_claims_invalid: { status: 401, title: "The token's claims are missing or wrong" },
  token_expired: { status: 401, title: "The access token has expired" },
  token_not_yet_valid: { status: 401, title: "The access token is not valid yet" },
  token_lifetime_exceeded: { status: 401, title: "The token is valid for longer than is allowed" },
  session_revoked: { status: 401, title: "This session was ended" },
  user_epoch_superseded: { status: 401, title: "All earlier sessions of this user were ended" },
  token_issued_before_cutoff: {
    status: 401,
    title: "Tokens of this user issued before a certain time were revoked",
  },
  token_revoked: { status: 401, title: "This token was revoked" },
  client_revoked: { status: 401, title: "Earlier tokens of this OAuth client were revoked" },
  key_revoked: { status: 401, title: "The key that signed this token was revoked" },
  tenant_revoked: { status: 401, title: "All earlier tokens of this tenant were revoked" },
  all_revoked: { status: 401, title: "All earlier tokens were revoked" },
  tenant_mismatch: { status: 403, title: "The token belongs to another tenant" },
  scope_insufficient: { status: 403, title: "The token lacks a scope that this route needs" },
  revocations_stale: {
    status: 503,
    title: "It is unknown right now whether this token was revoked",
  },
  keys_unavailable: { status: 503, title: "The issuer's keys are not available right now" },
  overloaded: { status: 503, title: "Too many tokens are waiting to be verified" },
  route_policy_invalid: { status: 500, title: "The route's policy is misconfigured" },
  internal_error: { status: 500, title: "The check failed" },
} as const satisfies Record<string, ReasonFacts>;

export type Reason = keyof typeof REASONS;

export type AllowReason = {
  [R in Reason]: (typeof REASONS)[R]["status"] extends undefined ? R : never;
}[Reason];

export type DenyReason = Exclude<Reason, AllowReason>;
