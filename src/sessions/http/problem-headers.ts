import {
  BEARER_CHALLENGE,
  insufficientScopeChallenge,
  invalidTokenChallenge,
} from "../../tokens/bearer.js";
import { PROBLEMS } from "./problem-codes.js";
import type { Problem } from "./problem.js";

export const PROBLEM_TYPE = "application/problem+json";

/** Headers of every answer. */
export function commonHeaders(requestId: string): Readonly<Record<string, string>> {
  return {
    "x-request-id": requestId,
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  };
}

export function problemHeaders(problem: Problem): Readonly<Record<string, string>> {
  const { retryAfterS, allow } = problem;
  const challenge = challengeOf(problem);
  return {
    "content-type": PROBLEM_TYPE,
    ...(challenge === undefined ? {} : { "www-authenticate": challenge }),
    ...(retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) }),
    ...(allow === undefined ? {} : { allow: allow.join(", ") }),
  };
}

/**
 * Every 401 has a challenge (RFC 9110, section 15.5.2); only one that concerns an access token has an
 * error code.
 */
function challengeOf({ code }: Problem): string | undefined {
  const { status, title } = PROBLEMS[code];
  if (code === "invalid_token") return invalidTokenChallenge(title);
  if (code === "scope_insufficient") return insufficientScopeChallenge([]);
  return status === 401 ? BEARER_CHALLENGE : undefined;
}
