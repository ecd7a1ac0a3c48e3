/**
 * The decision: may this request pass? Pure and synchronous. The first rule that denies wins:
 *
 *   1. it is an HTTP check                      6. claims and times
 *   2. the route's policy is well-formed        7. issuer and route may have this tenant
 *   3. one bearer token                         8. nothing that covers it is revoked
 *   4. its form                                 9. if that is uncertain: the staleness policy
 *   5. its key and signature                   10. the route's scopes
 *
 * Rules 3–10 concern only a request that presents a token on a route that reads it. Verification
 * has applied rules 4 and 5; its outcome is one of the facts.
 */
import type { RevocationStatus, Uncertainty } from "../follow/revocation-status.js";
import type { AccessToken } from "../../tokens/access-token.js";
import { type ClaimLimits, faultOfClaims } from "../../tokens/claim-faults.js";
import type { Issuer } from "../../tokens/issuer.js";
import type { AllowReason, DenyReason } from "./reason.js";
import type { RoutePolicy } from "./route-policy.js";

/** What is known about the presented token. */
export type Presented =
  | { readonly kind: "nothing" }
  /** Rules 3 to 5 deny it; `signatureGood`: whether the issuer signed the token. */
  | { readonly kind: "refused"; readonly reason: DenyReason; readonly signatureGood: boolean }
  | {
      readonly kind: "verified";
      readonly token: AccessToken;
      readonly issuer: Issuer;
      readonly status: RevocationStatus;
    };

export type DecisionLimits = ClaimLimits;

export type Decision =
  | { readonly kind: "allow"; readonly reason: AllowReason; readonly token: AccessToken }
  | { readonly kind: "allow_anonymous"; readonly reason: AllowReason }
  | {
      readonly kind: "deny";
      readonly reason: DenyReason;
      /** Only of a token whose signature is good. */
      readonly token: AccessToken | undefined;
      readonly signatureGood: boolean;
      readonly uncertainty: Uncertainty | undefined;
    }
  /** The RPC is to fail, so that Envoy's own policy governs. */
  | {
      readonly kind: "error";
      readonly reason: DenyReason;
      readonly token: AccessToken;
      readonly uncertainty: Uncertainty;
    };

/** Rules 3 to 10. `nowS`: Unix seconds, with fractions. */
export function decide(
  policy: RoutePolicy,
  presented: Presented,
  nowS: number,
  limits: DecisionLimits,
): Decision {
  if (policy.auth === "public") return { kind: "allow_anonymous", reason: "allowed_anonymous" };
  switch (presented.kind) {
    case "nothing":
      if (policy.auth === "optional") {
        return { kind: "allow_anonymous", reason: "allowed_anonymous" };
      }
      return refuse("token_missing", false);
    case "refused":
      return refuse(presented.reason, presented.signatureGood);
    case "verified":
      return decideVerified(policy, presented, nowS, limits);
  }
}

/** A denial that knows no token. */
export function refuse(reason: DenyReason, signatureGood: boolean): Decision {
  return { kind: "deny", reason, token: undefined, signatureGood, uncertainty: undefined };
}

function decideVerified(
  policy: RoutePolicy,
  presented: Extract<Presented, { kind: "verified" }>,
  nowS: number,
  limits: DecisionLimits,
): Decision {
  const { token, issuer, status } = presented;
  const deny = (reason: DenyReason, uncertainty?: Uncertainty): Decision => ({
    kind: "deny",
    reason,
    token,
    signatureGood: true,
    uncertainty,
  });
  const fault =
    faultOfClaims(token, issuer, nowS, limits) ??
    faultOfTenant(token, issuer, policy) ??
    faultOfStatus(token, status);
  if (fault !== undefined) return deny(fault);
  const { uncertainty } = status;
  if (uncertainty !== undefined && policy.onStale === "deny")
    return deny("revocations_stale", uncertainty);
  if (uncertainty !== undefined && policy.onStale === "error") {
    return { kind: "error", reason: "revocations_stale", token, uncertainty };
  }
  if (!policy.scopes.every((scope) => token.scopes.has(scope))) return deny("scope_insufficient");
  return { kind: "allow", reason: uncertainty === undefined ? "allowed" : "allowed_stale", token };
}

/** Rule 7. */
function faultOfTenant(
  token: AccessToken,
  issuer: Issuer,
  policy: RoutePolicy,
): DenyReason | undefined {
  if (issuer.tenants !== undefined && !issuer.tenants.has(token.tenant)) return "tenant_mismatch";
  if (policy.tenant !== undefined && policy.tenant !== token.tenant) return "tenant_mismatch";
  return undefined;
}

/** Rule 8. A greater epoch than the known one passes: the bump may still be on its way. */
function faultOfStatus(token: AccessToken, status: RevocationStatus): DenyReason | undefined {
  if (status.sessionRevoked) return "session_revoked";
  if (token.epoch < status.epoch) return "user_epoch_superseded";
  if (token.issuedAt < status.issuedBefore) return "token_issued_before_cutoff";
  if (status.tokenRevoked) return "token_revoked";
  if (token.issuedAt < status.clientIssuedBefore) return "client_revoked";
  if (status.keyRevoked) return "key_revoked";
  if (token.issuedAt < status.tenantIssuedBefore) return "tenant_revoked";
  if (token.issuedAt < status.allIssuedBefore) return "all_revoked";
  return undefined;
}
