/** Every reason, reached through the handler with a real verifier and real tokens. */
import { describe, expect, test } from "@jest/globals";
import { checkHandler } from "../../../../src/authz/check/check-handler.js";
import { REASONS, type Reason } from "../../../../src/authz/check/reason.js";
import { parseRoutePolicy } from "../../../../src/authz/check/route-policy.js";
import {
  CheckResponse,
  type CheckRequest,
} from "../../../../src/generated/envoy/service/auth/v3/external_auth.js";
import type { CurrentKeys } from "../../../../src/tokens/issuer-keys.js";
import { parseKeySet } from "../../../../src/tokens/jwks.js";
import { TokenVerifier } from "../../../../src/tokens/verification.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { TokenIssuer } from "../../../support/token-issuer.js";
import { answerOf } from "./answer.js";
import { issuerWith, LIMITS, NOW_S, requestWith, statusWith } from "./request-parts.js";

const issuer = new TokenIssuer({ nowSeconds: () => NOW_S });
const stranger = new TokenIssuer({ nowSeconds: () => NOW_S });
const parsed = await parseKeySet(issuer.jwks(), ["ES256"]);

interface Situation {
  readonly authorization?: string;
  readonly route?: Record<string, string>;
  readonly status?: Parameters<typeof statusWith>[0];
  readonly keysAway?: boolean;
  readonly pendingMax?: number;
  readonly request?: CheckRequest;
  readonly broken?: boolean;
}

async function reasonIn(situation: Situation): Promise<unknown> {
  const { authorization, route = {}, status, keysAway, broken } = situation;
  if (!parsed.usable) throw new Error(parsed.problem);
  const { keys } = parsed.keySet;
  const current: CurrentKeys = { generation: 1, find: (kid) => keys.get(kid) };
  const verifier = new TokenVerifier({
    issuers: [
      {
        issuer: issuerWith({ tenants: new Set(["tenant-1"]) }),
        keys: {
          current: () => (keysAway === true ? undefined : current),
          noteUnknownKid: () => undefined,
        },
      },
    ],
    cacheMaxEntries: 10,
    pendingMax: situation.pendingMax ?? 10,
  });
  const handler = checkHandler(
    {
      verify: (token) => verifier.verify(token),
      revocationStatusOf: () => {
        if (broken === true) throw new Error("broken");
        return statusWith(status);
      },
      policyOf: (extensions) => parseRoutePolicy(extensions, "deny"),
      limits: LIMITS,
      clock: new ManualClock(NOW_S * 1000),
    },
    { checked: () => undefined, cancelled: () => undefined, failed: () => undefined },
  );
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  const { response } = await answerOf(
    handler,
    situation.request ?? requestWith({ headers, route }),
  );
  if (response === undefined) throw new Error("the RPC failed");
  const decoded = CheckResponse.decode(CheckResponse.encode(response).finish());
  const reason: unknown = decoded.dynamicMetadata?.["reason"];
  return reason;
}

const bearer = (claims: Parameters<TokenIssuer["mint"]>[0] = {}) => `Bearer ${issuer.mint(claims)}`;
const bearerFrom = (parts: Parameters<TokenIssuer["mintFrom"]>[0]) =>
  `Bearer ${issuer.mintFrom(parts)}`;

const SITUATIONS: readonly (readonly [Reason, Situation])[] = [
  ["allowed", { authorization: bearer() }],
  ["allowed_anonymous", { route: { "sekisho.auth": "public" } }],
  ["allowed_anonymous", { route: { "sekisho.auth": "optional" } }],
  [
    "allowed_stale",
    {
      authorization: bearer(),
      route: { "sekisho.on_stale": "allow" },
      status: { uncertainty: "stale" },
    },
  ],
  ["request_malformed", { request: { attributes: undefined } }],
  ["token_missing", {}],
  ["token_malformed", { authorization: "Basic YTpi" }],
  ["token_malformed", { authorization: "Bearer a.b.c" }],
  ["token_algorithm_forbidden", { authorization: bearerFrom({ header: { alg: "HS256" } }) }],
  ["token_key_unknown", { authorization: bearerFrom({ header: { kid: "another" } }) }],
  ["token_signature_invalid", { authorization: `Bearer ${stranger.mint()}` }],
  ["token_issuer_unknown", { authorization: bearer({ iss: "https://other.example" }) }],
  ["token_audience_mismatch", { authorization: bearer({ aud: "https://other.example" }) }],
  ["token_claims_invalid", { authorization: bearer({ session_id: undefined }) }],
  ["token_expired", { authorization: bearer({ iat: NOW_S - 100, exp: NOW_S - 5 }) }],
  ["token_not_yet_valid", { authorization: bearer({ nbf: NOW_S + 6 }) }],
  ["token_lifetime_exceeded", { authorization: bearer({ exp: NOW_S + 901 }) }],
  ["session_revoked", { authorization: bearer(), status: { sessionRevoked: true } }],
  ["user_epoch_superseded", { authorization: bearer(), status: { epoch: 1 } }],
  ["token_issued_before_cutoff", { authorization: bearer(), status: { issuedBefore: NOW_S + 1 } }],
  ["token_revoked", { authorization: bearer(), status: { tokenRevoked: true } }],
  ["client_revoked", { authorization: bearer(), status: { clientIssuedBefore: NOW_S + 1 } }],
  ["key_revoked", { authorization: bearer(), status: { keyRevoked: true } }],
  ["tenant_revoked", { authorization: bearer(), status: { tenantIssuedBefore: NOW_S + 1 } }],
  ["all_revoked", { authorization: bearer(), status: { allIssuedBefore: NOW_S + 1 } }],
  ["tenant_mismatch", { authorization: bearer({ tenant_id: "tenant-2" }) }],
  ["tenant_mismatch", { authorization: bearer(), route: { "sekisho.tenant": "tenant-2" } }],
  ["scope_insufficient", { authorization: bearer(), route: { "sekisho.scopes": "read" } }],
  ["revocations_stale", { authorization: bearer(), status: { uncertainty: "stale" } }],
  ["keys_unavailable", { authorization: bearer(), keysAway: true }],
  ["overloaded", { authorization: bearer(), pendingMax: 0 }],
  ["route_policy_invalid", { authorization: bearer(), route: { "sekisho.auth": "Public" } }],
  ["internal_error", { authorization: bearer(), broken: true }],
];

describe("each reason", () => {
  test.each(SITUATIONS)("%s is reached", async (reason, situation) => {
    expect(await reasonIn(situation)).toBe(reason);
  });

  test("of the closed list has a situation that reaches it", () => {
    const reached = new Set(SITUATIONS.map(([reason]) => reason));
    expect([...reached].sort()).toEqual(Object.keys(REASONS).sort());
  });
});

describe("a token passes", () => {
  test("with the scopes that its route needs", async () => {
    const authorization = bearer({ scope: "write read" });
    const route = { "sekisho.scopes": "read" };
    expect(await reasonIn({ authorization, route })).toBe("allowed");
  });
});

describe("the first rule that denies", () => {
  test("is the route's policy before anything about the token", async () => {
    const route = { "sekisho.auth": "Public" };
    expect(await reasonIn({ route })).toBe("route_policy_invalid");
    expect(await reasonIn({ authorization: "Basic x", route })).toBe("route_policy_invalid");
  });

  test("is the signature before the claims", async () => {
    const forged = `Bearer ${stranger.mint({ exp: NOW_S - 1000, aud: "x" })}`;
    const status = { sessionRevoked: true };
    expect(await reasonIn({ authorization: forged, status })).toBe("token_signature_invalid");
  });

  test("is never asked for on a public route, whatever is presented and whatever is away", async () => {
    const route = { "sekisho.auth": "public" };
    const status = { sessionRevoked: true, uncertainty: "stale" } as const;
    for (const authorization of ["Basic x", "Bearer a.b.c", bearer()]) {
      const situation = { authorization, route, status, keysAway: true, broken: true };
      expect(await reasonIn(situation)).toBe("allowed_anonymous");
    }
  });

  test("denies a bad token where a token is optional", async () => {
    const route = { "sekisho.auth": "optional" };
    const odd = [`${bearer()} `, bearer().replace(".", "=."), `${bearer()}=`];
    for (const authorization of ["", "Basic x", "Bearer a.b.c", ...odd]) {
      expect(await reasonIn({ authorization, route })).toBe("token_malformed");
    }
    const revoked = { authorization: bearer(), route, status: { sessionRevoked: true } };
    expect(await reasonIn(revoked)).toBe("session_revoked");
  });
});
