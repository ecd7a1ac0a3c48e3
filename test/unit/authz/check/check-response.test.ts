import { describe, expect, test } from "@jest/globals";
import { status as grpcStatus } from "@grpc/grpc-js";
import { z } from "zod";
import { toCheckResponse } from "../../../../src/authz/check/check-response.js";
import type { Decision } from "../../../../src/authz/check/decide.js";
import { REASONS, type DenyReason } from "../../../../src/authz/check/reason.js";
import { HeaderValueOption_HeaderAppendAction } from "../../../../src/generated/envoy/config/core/v3/base.js";
import { CheckResponse } from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";
import { tokenWith } from "./request-parts.js";

const OVERWRITE = HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD;
const NAMES = ["x-auth-tenant-id", "x-auth-user-id", "x-auth-session-id"];

const problemSchema = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  code: z.string(),
});

/** What Envoy decodes, with the bytes that went over the wire. */
function sent(
  decision: Exclude<Decision, { kind: "error" }>,
  neededScopes: readonly string[] = [],
): { readonly response: CheckResponse; readonly wire: string } {
  const bytes = CheckResponse.encode(toCheckResponse(decision, neededScopes)).finish();
  expect(bytes.length).toBeGreaterThan(0);
  return { response: CheckResponse.decode(bytes), wire: Buffer.from(bytes).toString("latin1") };
}

function isDenyReason(reason: string): reason is DenyReason {
  return Object.entries(REASONS).some(
    ([name, { status }]) => name === reason && status !== undefined,
  );
}
const DENY_REASONS = Object.keys(REASONS).filter(isDenyReason);

interface Denial {
  readonly token?: ReturnType<typeof tokenWith>;
  readonly signatureGood?: boolean;
  readonly neededScopes?: readonly string[];
}

function denialOf(reason: DenyReason, options: Denial = {}) {
  const { token, signatureGood = token !== undefined, neededScopes } = options;
  const decision: Decision = { kind: "deny", reason, token, signatureGood, uncertainty: undefined };
  const { response, wire } = sent(decision, neededScopes);
  if (response.httpResponse?.$case !== "deniedResponse") throw new Error("not a denial");
  const { value } = response.httpResponse;
  const headers = value.headers.map(({ header }) => [header?.key, header?.value] as const);
  expect(new Set(headers.map(([key]) => key)).size).toBe(headers.length);
  return {
    response,
    wire,
    options: value.headers,
    http: value.status?.code,
    headers: new Map(headers),
    problem: problemSchema.parse(JSON.parse(value.body)),
    shown: `${value.body} ${JSON.stringify(headers)} ${response.status?.message ?? ""}`,
  };
}

describe("a denial", () => {
  test.each(DENY_REASONS)("by %s is explicit in every respect", (reason) => {
    for (const token of [undefined, tokenWith()]) {
      const { response, http, headers, problem } = denialOf(reason, token ? { token } : {});
      expect(http).toBe(REASONS[reason].status);
      expect(http).toBeGreaterThanOrEqual(400);
      expect(response.status?.code).toBeGreaterThan(grpcStatus.OK);
      expect(headers.get("content-type")).toBe("application/problem+json");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(problem.status).toBe(http);
      expect(problem.type).toBe(`urn:sekisho:problem:${problem.code}`);
      expect(problem.title).not.toBe("");
      expect(response.dynamicMetadata).toMatchObject({ reason });
    }
  });

  test.each(DENY_REASONS)("by %s overwrites headers in both ways of saying so", (reason) => {
    const { options } = denialOf(reason);
    expect(options.length).toBeGreaterThan(0);
    for (const { append, appendAction } of options) {
      expect([append, appendAction]).toEqual([false, OVERWRITE]);
    }
  });

  test.each([
    ["request_malformed", grpcStatus.INVALID_ARGUMENT],
    ["session_revoked", grpcStatus.UNAUTHENTICATED],
    ["tenant_mismatch", grpcStatus.PERMISSION_DENIED],
    ["internal_error", grpcStatus.INTERNAL],
    ["revocations_stale", grpcStatus.UNAVAILABLE],
  ] as const)("by %s has the gRPC code %i", (reason, code) => {
    expect(denialOf(reason).response.status?.code).toBe(code);
  });

  test("names tenant, user and session in metadata where the token is known", () => {
    const { response } = denialOf("session_revoked", { token: tokenWith() });
    const metadata = { reason: "session_revoked", tenant: "acme", user: "ann", session: "s-1" };
    expect(response.dynamicMetadata).toEqual(metadata);
    expect(denialOf("token_malformed").response.dynamicMetadata).toEqual({
      reason: "token_malformed",
    });
  });
});

describe("what a caller is told", () => {
  const of401 = DENY_REASONS.filter((reason) => REASONS[reason].status === 401);
  const others = DENY_REASONS.filter((reason) => REASONS[reason].status !== 401);

  test.each(of401.filter((reason) => reason !== "token_missing"))(
    "of %s before the signature was good is `invalid_token` and nothing else",
    (reason) => {
      const { problem, shown, headers } = denialOf(reason, { signatureGood: false });
      expect(problem).toEqual({
        type: "urn:sekisho:problem:invalid_token",
        title: "The access token is not valid",
        status: 401,
        code: "invalid_token",
      });
      expect(shown).not.toContain(reason);
      expect(shown).not.toContain(REASONS[reason].title);
      expect(headers.get("www-authenticate")).toBe(
        'Bearer realm="sekisho", error="invalid_token", ' +
          'error_description="The access token is not valid"',
      );
    },
  );

  test("does not differ at all from one reason to another before the signature was good", () => {
    const shown = of401
      .filter((reason) => reason !== "token_missing")
      .map((reason) => denialOf(reason, { signatureGood: false }).shown);
    expect(shown.length).toBeGreaterThan(2);
    expect(new Set(shown).size).toBe(1);
  });

  test.each(of401)("of %s after it is the reason itself", (reason) => {
    const { problem } = denialOf(reason, { signatureGood: true });
    expect(problem).toMatchObject({ code: reason, title: REASONS[reason].title });
  });

  test.each(others)("of %s is the reason itself, whoever asks", (reason) => {
    for (const signatureGood of [true, false]) {
      expect(denialOf(reason, { signatureGood }).problem.code).toBe(reason);
    }
  });

  test("of a missing token is just that", () => {
    expect(denialOf("token_missing").problem.code).toBe("token_missing");
  });

  test.each(DENY_REASONS)("of %s holds no id of the token", (reason) => {
    const token = tokenWith({ tenant: "tenant-x7", user: "user-x7", session: "session-x7" });
    expect(denialOf(reason, { token }).shown).not.toContain("x7");
  });
});

describe("the challenge (RFC 6750, section 3)", () => {
  test("has no error code where no token was presented", () => {
    expect(denialOf("token_missing").headers.get("www-authenticate")).toBe(
      'Bearer realm="sekisho"',
    );
  });

  test("names the scopes that are needed", () => {
    const neededScopes = ["read", "things:write"];
    const { headers } = denialOf("scope_insufficient", { token: tokenWith(), neededScopes });
    expect(headers.get("www-authenticate")).toBe(
      'Bearer realm="sekisho", error="insufficient_scope", scope="read things:write"',
    );
  });

  test.each(DENY_REASONS)("of %s is there with a 401 and a missing scope only", (reason) => {
    const challenge = denialOf(reason).headers.get("www-authenticate");
    const expected = REASONS[reason].status === 401 || reason === "scope_insufficient";
    expect(challenge !== undefined).toBe(expected);
    const quoted = '"[\\x20\\x21\\x23-\\x5b\\x5d-\\x7e]*"';
    const pattern = new RegExp(`^Bearer [a-z]+=${quoted}(, [a-z_]+=${quoted})*$`);
    expect(challenge ?? 'Bearer realm=""').toMatch(pattern);
  });

  test.each(DENY_REASONS)("of %s says when to try again where the system is at fault", (reason) => {
    const retryAfter = denialOf(reason).headers.get("retry-after");
    expect(retryAfter).toBe(REASONS[reason].status === 503 ? "1" : undefined);
  });
});

describe("an allow", () => {
  const allowOf = (parts: Parameters<typeof tokenWith>[0] = {}) => {
    const token = tokenWith(parts);
    const { response } = sent({ kind: "allow", reason: "allowed", token });
    if (response.httpResponse?.$case !== "okResponse") throw new Error("not an allow");
    return { response, ...response.httpResponse.value };
  };

  test("sets the three identity headers, overwriting in both ways of saying so", () => {
    const { headers, headersToRemove, response } = allowOf();
    expect(headers.map(({ header }) => [header?.key, header?.value])).toEqual([
      ["x-auth-tenant-id", "acme"],
      ["x-auth-user-id", "ann"],
      ["x-auth-session-id", "s-1"],
    ]);
    for (const { append, appendAction } of headers) {
      expect([append, appendAction]).toEqual([false, OVERWRITE]);
    }
    expect(headersToRemove).toEqual([]);
    expect(response.status?.code).toBe(grpcStatus.OK);
  });

  test("says the wrapped false of `append` on the wire, as older Envoys need it", () => {
    const { headers } = allowOf();
    expect(headers.map(({ append }) => append)).toEqual([false, false, false]);
  });

  test("tells its reason and whom it concerns in metadata", () => {
    const token = tokenWith();
    const { response } = sent({ kind: "allow", reason: "allowed_stale", token });
    const { tenant, user, session } = token;
    expect(response.dynamicMetadata).toEqual({ reason: "allowed_stale", tenant, user, session });
  });

  test("encodes the ids for the headers, and leaves them alone in metadata", () => {
    const { headers, response } = allowOf({ tenant: "a b", user: "50%", session: "é:x" });
    expect(headers.map(({ header }) => header?.value)).toEqual(["a%20b", "50%25", "%C3%A9:x"]);
    expect(response.dynamicMetadata).toMatchObject({ tenant: "a b", user: "50%", session: "é:x" });
  });
});

describe("an anonymous allow", () => {
  const { response } = sent({ kind: "allow_anonymous", reason: "allowed_anonymous" });
  if (response.httpResponse?.$case !== "okResponse") throw new Error("not an allow");
  const { headers, headersToRemove } = response.httpResponse.value;

  test("removes the three identity headers and sets none of them", () => {
    expect([...headersToRemove].sort()).toEqual([...NAMES].sort());
    expect(headers).toEqual([]);
  });

  test("is explicit, and tells its reason in metadata", () => {
    expect(response.status?.code).toBe(grpcStatus.OK);
    expect(response.dynamicMetadata).toEqual({ reason: "allowed_anonymous" });
  });
});
