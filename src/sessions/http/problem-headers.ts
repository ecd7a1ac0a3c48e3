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
  const challenge = bearerChallenge(problem);
  return {
    "content-type": PROBLEM_TYPE,
    ...(challenge === undefined ? {} : { "www-authenticate": challenge }),
    ...(retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) }),
    ...(allow === undefined ? {} : { allow: allow.join(", ") }),
  };
}

/**
 * RFC 6750, section 3. Every 401 has a challenge (RFC 9110, section 15.5.2); only one that concerns
 * an access token has an error code.
 */
function bearerChallenge({ code }: Problem): string | undefined {
  const { status, title } = PROBLEMS[code];
  if (code === "invalid_token") {
    return `Bearer realm="sekisho", error="invalid_token", error_description="${title}"`;
  }
  if (code === "scope_insufficient") return 'Bearer realm="sekisho", error="insufficient_scope"';
  return status === 401 ? 'Bearer realm="sekisho"' : undefined;
}
