import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { decide, type Decision, type Presented } from "../../../../src/authz/check/decide.js";
import { REASONS } from "../../../../src/authz/check/reason.js";
import { ON_STALE } from "../../../../src/revocation-log/on-stale.js";
import { issuerWith, LIMITS, NOW_S, policyWith, statusWith, tokenWith } from "./request-parts.js";

const NOTHING: Presented = { kind: "nothing" };
const REFUSED: Presented = { kind: "refused", reason: "token_malformed", signatureGood: false };

interface Facts {
  readonly token?: Parameters<typeof tokenWith>[0];
  readonly issuer?: Parameters<typeof issuerWith>[0];
  readonly status?: Parameters<typeof statusWith>[0];
  readonly policy?: Parameters<typeof policyWith>[0];
  readonly nowS?: number;
}

function verified(facts: Facts): Presented {
  return {
    kind: "verified",
    token: tokenWith(facts.token),
    issuer: issuerWith(facts.issuer),
    status: statusWith(facts.status),
  };
}

function decisionOf(facts: Facts): Decision {
  return decide(policyWith(facts.policy), verified(facts), facts.nowS ?? NOW_S, LIMITS);
}

const outcomeOf = (facts: Facts): string => {
  const { kind, reason } = decisionOf(facts);
  return `${kind} ${reason}`;
};

describe("what a route asks for", () => {
  test.each([
    ["public", NOTHING, "allow_anonymous allowed_anonymous"],
    ["public", REFUSED, "allow_anonymous allowed_anonymous"],
    ["public", verified({}), "allow_anonymous allowed_anonymous"],
    ["optional", NOTHING, "allow_anonymous allowed_anonymous"],
    ["optional", REFUSED, "deny token_malformed"],
    ["optional", verified({}), "allow allowed"],
    ["optional", verified({ status: { sessionRevoked: true } }), "deny session_revoked"],
    ["required", NOTHING, "deny token_missing"],
    ["required", REFUSED, "deny token_malformed"],
    ["required", verified({}), "allow allowed"],
  ] as const)("on a %s route, %j is %s", (auth, presented, expected) => {
    const { kind, reason } = decide(policyWith({ auth }), presented, NOW_S, LIMITS);
    expect(`${kind} ${reason}`).toBe(expected);
  });

  test("tells of a refused token whether its signature was good, and knows no token", () => {
    for (const signatureGood of [true, false]) {
      const presented = { kind: "refused", reason: "token_claims_invalid", signatureGood } as const;
      expect(decide(policyWith(), presented, NOW_S, LIMITS)).toEqual({
        kind: "deny",
        reason: "token_claims_invalid",
        token: undefined,
        signatureGood,
        uncertainty: undefined,
      });
    }
  });

  test("hands on the token of a request that is denied after its signature was good", () => {
    expect(decisionOf({ status: { sessionRevoked: true } })).toEqual({
      kind: "deny",
      reason: "session_revoked",
      token: tokenWith(),
      signatureGood: true,
      uncertainty: undefined,
    });
  });
});

describe("the times of a token, with a skew of 5 s", () => {
  const young = { issuedAt: NOW_S, expiresAt: NOW_S + 300 };
  test.each([
    ["exp + skew − 1 ms", { token: { expiresAt: NOW_S - 5 }, nowS: NOW_S - 0.001 }, "allowed"],
    ["exp + skew", { token: { expiresAt: NOW_S - 5 } }, "token_expired"],
    ["exp + skew + 1", { token: { expiresAt: NOW_S - 6 } }, "token_expired"],
    ["iat − skew + 1", { token: { ...young, issuedAt: NOW_S + 4 } }, "allowed"],
    ["iat − skew", { token: { ...young, issuedAt: NOW_S + 5 } }, "allowed"],
    [
      "iat − skew − 1 ms",
      { token: { ...young, issuedAt: NOW_S + 5 }, nowS: NOW_S - 0.001 },
      "token_not_yet_valid",
    ],
    ["iat − skew − 1", { token: { ...young, issuedAt: NOW_S + 6 } }, "token_not_yet_valid"],
    ["nbf − skew + 1", { token: { notBefore: NOW_S + 4 } }, "allowed"],
    ["nbf − skew", { token: { notBefore: NOW_S + 5 } }, "allowed"],
    ["nbf − skew − 1", { token: { notBefore: NOW_S + 6 } }, "token_not_yet_valid"],
  ])("at %s it is %s", (_when, facts, reason) => {
    expect(decisionOf(facts).reason).toBe(reason);
  });

  test.each([
    [899, "allowed"],
    [900, "allowed"],
    [901, "token_lifetime_exceeded"],
  ])("with a lifetime of %i s where 900 are allowed it is %s", (lifetimeS, reason) => {
    const token = { issuedAt: NOW_S - 10, expiresAt: NOW_S - 10 + lifetimeS };
    expect(decisionOf({ token }).reason).toBe(reason);
  });

  test("are not stretched by the skew where lifetimes are measured", () => {
    const token = { issuedAt: NOW_S, expiresAt: NOW_S + 900.5 };
    expect(decisionOf({ token }).reason).toBe("token_lifetime_exceeded");
  });
});

describe("whom a token is for", () => {
  test.each([
    [["https://api.example"], "allowed"],
    [["https://other.example", "https://api.example"], "allowed"],
    [["https://other.example"], "token_audience_mismatch"],
    [["https://api.example/"], "token_audience_mismatch"],
    [[], "token_audience_mismatch"],
  ])("an audience of %j is %s", (audience, reason) => {
    expect(decisionOf({ token: { audience } }).reason).toBe(reason);
  });

  test.each([
    ["no list", {}, "allowed"],
    ["a list with it", { issuer: { tenants: new Set(["acme", "b"]) } }, "allowed"],
    ["a list without it", { issuer: { tenants: new Set(["b"]) } }, "tenant_mismatch"],
    ["a list in another case", { issuer: { tenants: new Set(["ACME"]) } }, "tenant_mismatch"],
    ["its own route", { policy: { tenant: "acme" } }, "allowed"],
    ["another tenant's route", { policy: { tenant: "b" } }, "tenant_mismatch"],
    ["a route that only looks alike", { policy: { tenant: "acme " } }, "tenant_mismatch"],
  ])("a tenant with %s is answered by %s %s", (_what, facts: Facts, reason) => {
    expect(decisionOf(facts).reason).toBe(reason);
  });
});

describe("what is known to be revoked", () => {
  test.each([
    [2, "user_epoch_superseded"],
    [3, "allowed"],
    [4, "allowed"],
  ])("a token of epoch %i where 3 is known is %s", (epoch, reason) => {
    expect(decisionOf({ token: { epoch }, status: { epoch: 3 } }).reason).toBe(reason);
  });

  test("the largest epochs are told apart", () => {
    const epoch = Number.MAX_SAFE_INTEGER;
    const outcome = (token: number) =>
      decisionOf({ token: { epoch: token }, status: { epoch } }).reason;
    expect(outcome(epoch - 1)).toBe("user_epoch_superseded");
    expect(outcome(epoch)).toBe("allowed");
  });

  test.each([
    [NOW_S - 51, "token_issued_before_cutoff"],
    [NOW_S - 50.001, "token_issued_before_cutoff"],
    [NOW_S - 50, "allowed"],
    [NOW_S - 49, "allowed"],
  ])("a token issued at %d where the cut-off is 1799999950 is %s", (issuedAt, reason) => {
    const status = { issuedBefore: NOW_S - 50 };
    expect(decisionOf({ token: { issuedAt }, status }).reason).toBe(reason);
  });
});

describe("what cannot be told", () => {
  const uncertainties = ["stale", "saturated", "unreadable_entry", "before_log"] as const;
  test.each(uncertainties)(
    "is answered by the route's policy where the uncertainty is `%s`",
    (uncertainty) => {
      const outcome = (onStale: (typeof ON_STALE)[number]) =>
        decisionOf({ policy: { onStale }, status: { uncertainty } });
      expect(outcome("allow")).toEqual({
        kind: "allow",
        reason: "allowed_stale",
        token: tokenWith(),
      });
      expect(outcome("deny")).toMatchObject({
        kind: "deny",
        reason: "revocations_stale",
        uncertainty,
      });
      expect(outcome("error")).toMatchObject({
        kind: "error",
        reason: "revocations_stale",
        uncertainty,
      });
    },
  );

  test.each(ON_STALE)("is not asked of a revoked token where the policy is `%s`", (onStale) => {
    const policy = { onStale };
    const uncertainty = "stale";
    for (const [status, reason] of [
      [{ uncertainty, sessionRevoked: true }, "session_revoked"],
      [{ uncertainty, epoch: 4 }, "user_epoch_superseded"],
      [{ uncertainty, issuedBefore: NOW_S }, "token_issued_before_cutoff"],
    ] as const) {
      expect(decisionOf({ policy, status })).toMatchObject({ kind: "deny", reason });
      expect(REASONS[reason].status).toBe(401);
    }
  });

  test("does not concern a request without a token", () => {
    const { reason } = decide(policyWith({ onStale: "error" }), NOTHING, NOW_S, LIMITS);
    expect(reason).toBe("token_missing");
  });
});

describe("scopes", () => {
  test.each([
    [[], "allowed"],
    [["read"], "allowed"],
    [["write", "read"], "allowed"],
    [["read", "delete"], "scope_insufficient"],
    [["READ"], "scope_insufficient"],
    [["read write"], "scope_insufficient"],
  ])("needed %j of a token with read and write are %s", (scopes, reason) => {
    expect(decisionOf({ policy: { scopes } }).reason).toBe(reason);
  });

  test("are needed on a route that tolerates staleness, too", () => {
    const policy = { scopes: ["delete"], onStale: "allow" } as const;
    expect(outcomeOf({ policy, status: { uncertainty: "stale" } })).toBe("deny scope_insufficient");
  });
});

describe("the first rule that denies", () => {
  /** Each denies by itself; in the order in which they must win. */
  const rules: readonly (readonly [string, Facts])[] = [
    ["token_audience_mismatch", { token: { audience: [] } }],
    ["token_expired", { token: { expiresAt: NOW_S - 60 } }],
    ["token_not_yet_valid", { token: { notBefore: NOW_S + 60 } }],
    ["token_lifetime_exceeded", { token: { issuedAt: NOW_S - 1000 } }],
    ["tenant_mismatch", { policy: { tenant: "other" } }],
    ["session_revoked", { status: { sessionRevoked: true } }],
    ["user_epoch_superseded", { status: { epoch: 9 } }],
    ["token_issued_before_cutoff", { status: { issuedBefore: NOW_S } }],
    ["token_revoked", { status: { tokenRevoked: true } }],
    ["client_revoked", { status: { clientIssuedBefore: NOW_S } }],
    ["key_revoked", { status: { keyRevoked: true } }],
    ["tenant_revoked", { status: { tenantIssuedBefore: NOW_S } }],
    ["all_revoked", { status: { allIssuedBefore: NOW_S } }],
    ["revocations_stale", { status: { uncertainty: "stale" } }],
    ["scope_insufficient", { policy: { scopes: ["delete"] } }],
  ];

  const together = (facts: readonly Facts[]): Facts =>
    facts.reduce((all, one) => ({
      token: { ...all.token, ...one.token },
      status: { ...all.status, ...one.status },
      policy: { ...all.policy, ...one.policy },
    }));

  test.each(rules)("is %s where only that one denies", (reason, facts) => {
    expect(decisionOf(facts).reason).toBe(reason);
  });

  test.each(rules.map(([reason], at) => [reason, at] as const))(
    "is %s where all that follow deny, too",
    (reason, at) => {
      const facts = together(rules.slice(at).map(([, one]) => one));
      expect(decisionOf(facts).reason).toBe(reason);
    },
  );

  test("is the form of the token before anything about who it is for", () => {
    const { reason } = decide(policyWith({ tenant: "other" }), REFUSED, NOW_S, LIMITS);
    expect(reason).toBe("token_malformed");
  });
});

describe("whatever the facts are", () => {
  const policies = fc.record({
    auth: fc.constantFrom("required" as const, "optional" as const),
    tenant: fc.constantFrom(undefined, "acme", "other"),
    scopes: fc.subarray(["read", "write", "delete"]),
    onStale: fc.constantFrom(...ON_STALE),
  });
  const around = (middle: number) => fc.integer({ min: middle - 12, max: middle + 12 });
  const tokens = fc.record({
    audience: fc.subarray(["https://api.example", "https://other.example"]),
    epoch: fc.integer({ min: 2, max: 5 }),
    issuedAt: around(NOW_S),
    expiresAt: fc.oneof(around(NOW_S), around(NOW_S + 300), around(NOW_S + 900)),
    notBefore: fc.option(around(NOW_S), { nil: undefined }),
  });
  const cutOffs = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, around(NOW_S));
  const statuses = fc.record({
    sessionRevoked: fc.boolean(),
    epoch: fc.integer({ min: 0, max: 4 }),
    issuedBefore: cutOffs,
    tokenRevoked: fc.boolean(),
    clientIssuedBefore: cutOffs,
    keyRevoked: fc.boolean(),
    tenantIssuedBefore: cutOffs,
    allIssuedBefore: cutOffs,
    uncertainty: fc.constantFrom(undefined, "stale", "saturated", "unreadable_entry", "before_log"),
  });
  const everything = fc.record({ policy: policies, token: tokens, status: statuses });

  test("no revoked token is ever allowed where tokens are looked at", () => {
    let revokedSeen = 0;
    fc.assert(
      fc.property(everything, (facts) => {
        const { token, status } = facts;
        const revoked =
          status.sessionRevoked ||
          token.epoch < status.epoch ||
          token.issuedAt < status.issuedBefore ||
          status.tokenRevoked ||
          token.issuedAt < status.clientIssuedBefore ||
          status.keyRevoked ||
          token.issuedAt < status.tenantIssuedBefore ||
          token.issuedAt < status.allIssuedBefore;
        fc.pre(revoked);
        revokedSeen += 1;
        expect(decisionOf(facts).kind).toBe("deny");
      }),
      { numRuns: 2000 },
    );
    expect(revokedSeen).toBeGreaterThan(0);
  });

  test("a uncertainty is allowed only by the policy `allow`, and fails the RPC only by `error`", () => {
    fc.assert(
      fc.property(everything, (facts) => {
        fc.pre(facts.status.uncertainty !== undefined);
        const { kind, reason } = decisionOf(facts);
        if (kind === "allow") expect(facts.policy.onStale).toBe("allow");
        if (kind === "allow") expect(reason).toBe("allowed_stale");
        if (kind === "error") expect(facts.policy.onStale).toBe("error");
        if (facts.policy.onStale === "deny") expect(kind).toBe("deny");
      }),
      { numRuns: 2000 },
    );
  });

  test("some tokens pass, and none that its own times, audience or scopes forbid", () => {
    let allowed = 0;
    fc.assert(
      fc.property(everything, (facts) => {
        if (decisionOf(facts).kind !== "allow") return;
        allowed += 1;
        const { token, policy } = facts;
        expect(token.audience).toContain("https://api.example");
        expect(token.expiresAt + 5).toBeGreaterThan(NOW_S);
        expect(token.issuedAt - 5).toBeLessThanOrEqual(NOW_S);
        expect((token.notBefore ?? 0) - 5).toBeLessThanOrEqual(NOW_S);
        expect(token.expiresAt - token.issuedAt).toBeLessThanOrEqual(900);
        expect(policy.tenant ?? "acme").toBe("acme");
        expect(policy.scopes).not.toContain("delete");
      }),
      { numRuns: 2000 },
    );
    expect(allowed).toBeGreaterThan(0);
  });
});
