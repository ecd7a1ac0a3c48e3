/**
 * Maps a decision to Envoy's answer. Every answer is explicit: an empty CheckResponse would be an
 * allow, and a denied response without a code would be ignored.
 */
import { STATUS_CODES } from "node:http";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { HeaderValueOption } from "../../generated/envoy/config/core/v3/base.js";
import { HeaderValueOption_HeaderAppendAction as AppendAction } from "../../generated/envoy/config/core/v3/base.js";
import type { CheckResponse } from "../../generated/envoy/service/auth/v3/external_auth.js";
import type { AccessToken } from "../../tokens/access-token.js";
import {
  BEARER_CHALLENGE,
  insufficientScopeChallenge,
  invalidTokenChallenge,
} from "../../tokens/bearer.js";
import type { Decision } from "./decide.js";
import { IDENTITY_HEADERS, identityHeaders } from "./identity-headers.js";
import { REASONS, type DenyReason, type Reason } from "./reason.js";

/** For a node whose state is uncertain right now, in seconds. */
const RETRY_AFTER_S = 1;

/** The answer to every decision but `error`, whose RPC fails. */
export function toCheckResponse(
  decision: Exclude<Decision, { kind: "error" }>,
  neededScopes: readonly string[],
): CheckResponse {
  switch (decision.kind) {
    case "allow":
      return {
        status: { code: grpcStatus.OK, message: "" },
        httpResponse: {
          $case: "okResponse",
          value: {
            headers: identityHeaders(decision.token).map(([key, value]) => overwrite(key, value)),
            headersToRemove: [],
          },
        },
        dynamicMetadata: metadata(decision.reason, decision.token),
      };
    case "allow_anonymous":
      return {
        status: { code: grpcStatus.OK, message: "" },
        httpResponse: {
          $case: "okResponse",
          value: { headers: [], headersToRemove: Object.values(IDENTITY_HEADERS) },
        },
        dynamicMetadata: metadata(decision.reason, undefined),
      };
    case "deny":
      return denied(decision, neededScopes);
  }
}

function denied(
  decision: Extract<Decision, { kind: "deny" }>,
  neededScopes: readonly string[],
): CheckResponse {
  const { reason, signatureGood } = decision;
  const { status, title } = REASONS[reason];
  // Only a caller with a good signature learns more than that the token is not valid.
  const detailed = status !== 401 || signatureGood || reason === "token_missing";
  const code = detailed ? reason : "invalid_token";
  const problem = {
    type: `urn:sekisho:problem:${code}`,
    title: detailed ? title : "The access token is not valid",
    status,
    code,
  };
  const headers = [
    overwrite("content-type", "application/problem+json"),
    overwrite("cache-control", "no-store"),
  ];
  const challenge = challengeOf(reason, problem.title, neededScopes);
  if (challenge !== undefined) headers.push(overwrite("www-authenticate", challenge));
  if (status === 503) headers.push(overwrite("retry-after", String(RETRY_AFTER_S)));
  return {
    status: { code: rpcCode(status), message: STATUS_CODES[status] ?? "" },
    httpResponse: {
      $case: "deniedResponse",
      value: { status: { code: status }, headers, body: JSON.stringify(problem) },
    },
    dynamicMetadata: metadata(reason, decision.token),
  };
}

function challengeOf(
  reason: DenyReason,
  title: string,
  neededScopes: readonly string[],
): string | undefined {
  if (reason === "token_missing") return BEARER_CHALLENGE;
  if (REASONS[reason].status === 401) return invalidTokenChallenge(title);
  return reason === "scope_insufficient" ? insufficientScopeChallenge(neededScopes) : undefined;
}

function rpcCode(status: (typeof REASONS)[DenyReason]["status"]): number {
  switch (status) {
    case 400:
      return grpcStatus.INVALID_ARGUMENT;
    case 401:
      return grpcStatus.UNAUTHENTICATED;
    case 403:
      return grpcStatus.PERMISSION_DENIED;
    case 500:
      return grpcStatus.INTERNAL;
    case 503:
      return grpcStatus.UNAVAILABLE;
  }
}

/**
 * Both ways of saying "overwrite": older Envoys read only `append`, newer ones `append_action`, and
 * one of them (1.37.0) appends if the latter is not set.
 */
function overwrite(key: string, value: string): HeaderValueOption {
  return {
    header: { key, value, rawValue: NO_BYTES },
    append: false,
    appendAction: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  };
}

const NO_BYTES = Buffer.alloc(0);

function metadata(reason: Reason, token: AccessToken | undefined): Record<string, string> {
  if (token === undefined) return { reason };
  const { tenant, user, session } = token;
  return { reason, tenant, user, session };
}
