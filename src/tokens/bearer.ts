/** Bearer tokens in HTTP (RFC 6750). */

/**
 * Section 2.1: `=` only at the end; the scheme's name in any case (RFC 9110, section 11.1). No two
 * neighbouring parts match the same character, so the time is linear in the length.
 */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** The token in an `authorization` header; undefined: anything but exactly one bearer token. */
export function bearerTokenIn(authorization: string): string | undefined {
  return BEARER.exec(authorization)?.[1];
}

/** Section 3: the challenge to a request without a token, which gets no error code. */
export const BEARER_CHALLENGE = 'Bearer realm="sekisho"';

export function invalidTokenChallenge(description: string): string {
  return `${BEARER_CHALLENGE}, error="invalid_token", error_description="${description}"`;
}

/** `scopes`: those that are needed; none: they are not told. */
export function insufficientScopeChallenge(scopes: readonly string[]): string {
  const scope = scopes.length === 0 ? "" : `, scope="${scopes.join(" ")}"`;
  return `${BEARER_CHALLENGE}, error="insufficient_scope"${scope}`;
}
