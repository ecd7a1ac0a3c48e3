/**
 * One check, from Envoy's request to the decision: gathers the facts, then decides.
 *
 * There is at most one `await`, for the signature of an unknown token. The revocation state and the
 * time are read after it, so nothing can change between the look-up and the decision.
 */
import type { Clock } from "../../runtime/clock.js";
import type { CheckRequest } from "../../generated/envoy/service/auth/v3/external_auth.js";
import type { RevocationStatus } from "../follow/revocation-status.js";
import type { AccessToken } from "../../tokens/access-token.js";
import type { Verification } from "../../tokens/verification.js";
import { readHttpCheck, type HttpCheck } from "./check-facts.js";
import { decide, refuse, type Decision, type DecisionLimits, type Presented } from "./decide.js";
import type { RoutePolicy } from "./route-policy.js";

export interface CheckDependencies {
  /** Synchronous for a cached token; never throws or rejects. */
  readonly verify: (token: string) => Verification | Promise<Verification>;
  readonly revocationStatusOf: (token: AccessToken) => RevocationStatus;
  /** undefined: the policy is invalid. */
  readonly policyOf: (
    contextExtensions: Readonly<Record<string, string>>,
  ) => RoutePolicy | undefined;
  readonly limits: DecisionLimits;
  readonly clock: Clock;
}

export interface Checked {
  readonly decision: Decision;
  readonly neededScopes: readonly string[];
  /** undefined if the check was not about an HTTP request. */
  readonly http: HttpCheck | undefined;
}

export function check(
  request: CheckRequest,
  dependencies: CheckDependencies,
): Checked | Promise<Checked> {
  const http = readHttpCheck(request);
  if (http === undefined) {
    return { decision: refuse("request_malformed", false), neededScopes: [], http };
  }
  const policy = dependencies.policyOf(http.contextExtensions);
  if (policy === undefined) {
    return { decision: refuse("route_policy_invalid", false), neededScopes: [], http };
  }
  const conclude = (presented: Presented): Checked => {
    const nowS = dependencies.clock.wallMs() / 1000;
    const decision = decide(policy, presented, nowS, dependencies.limits);
    return { decision, neededScopes: policy.scopes, http };
  };
  const { credentials } = http;
  if (policy.auth === "public" || credentials.kind === "none") return conclude({ kind: "nothing" });
  if (credentials.kind === "unusable") {
    return conclude({ kind: "refused", reason: "token_malformed", signatureGood: false });
  }
  const verification = dependencies.verify(credentials.token);
  if (!(verification instanceof Promise)) return conclude(present(verification, dependencies));
  return verification.then((verified) => conclude(present(verified, dependencies)));
}

function present(verification: Verification, { revocationStatusOf }: CheckDependencies): Presented {
  if (!verification.verified) {
    const { reason, signatureGood } = verification;
    return { kind: "refused", reason, signatureGood };
  }
  const { token, issuer } = verification;
  return { kind: "verified", token, issuer, status: revocationStatusOf(token) };
}
