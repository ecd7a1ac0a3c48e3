import { describe, expect, test } from "@jest/globals";
import {
  BEARER_CHALLENGE,
  bearerTokenIn,
  insufficientScopeChallenge,
  invalidTokenChallenge,
} from "../../../src/tokens/bearer.js";

describe("the token in `authorization`", () => {
  test.each([
    ["Bearer abc.def.ghi", "abc.def.ghi"],
    ["bEaReR abc", "abc"],
    ["Bearer   abc", "abc"],
    ["Bearer a-._~+/Z09==", "a-._~+/Z09=="],
  ])("is found in %j", (header, token) => {
    expect(bearerTokenIn(header)).toBe(token);
  });

  test.each([
    "",
    "Bearer",
    "Bearer ",
    "Bearerabc",
    " Bearer abc",
    "Bearer abc ",
    "Bearer abc\t",
    "Bearer abc\n",
    "Bearer\tabc",
    "Bearer a=b",
    "Bearer =abc",
    "Bearer ==",
    "Bearer a b",
    "Bearer a,b",
    'Bearer "abc"',
    "Bearer \u00e9",
    "Bearer \u212a",
    "Basic abc",
  ])("is not there in %j", (header) => {
    expect(bearerTokenIn(header)).toBeUndefined();
  });

  test.each(["a", "=", " ", "a="])("takes linear time, whatever is repeated: %j", (part) => {
    const header = `Bearer a${part.repeat(100_000)}!`;
    const fromMs = performance.now();
    expect(bearerTokenIn(header)).toBeUndefined();
    // Quadratic time would be much more.
    expect(performance.now() - fromMs).toBeLessThan(2000);
  });
});

describe("the challenge", () => {
  test("has an error only where a token was presented, and scopes only where they are told", () => {
    expect(BEARER_CHALLENGE).toBe('Bearer realm="sekisho"');
    expect(invalidTokenChallenge("It is not valid")).toBe(
      'Bearer realm="sekisho", error="invalid_token", error_description="It is not valid"',
    );
    expect(insufficientScopeChallenge([])).toBe(
      'Bearer realm="sekisho", error="insufficient_scope"',
    );
    expect(insufficientScopeChallenge(["read", "write"])).toBe(
      'Bearer realm="sekisho", error="insufficient_scope", scope="read write"',
    );
  });
});
