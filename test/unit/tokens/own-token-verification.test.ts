import { beforeEach, describe, expect, test } from "@jest/globals";
import type { VerificationKey } from "../../../src/tokens/json-web-key.js";
import { parseKeySet } from "../../../src/tokens/jwks.js";
import { OwnTokenVerification } from "../../../src/tokens/own-token-verification.js";
import { base64url, type JsonMembers, TokenIssuer } from "../../support/token-issuer.js";

const NOW_S = 1_800_000_000;
const SKEW_S = 5;
const LIFETIME_S = 600;
const ours = new TokenIssuer({ kid: "ours", nowSeconds: () => NOW_S });
const stranger = new TokenIssuer({ kid: "ours", nowSeconds: () => NOW_S });
const otherKind = new TokenIssuer({ kid: "other", algorithm: "EdDSA", nowSeconds: () => NOW_S });

let keys: ReadonlyMap<string, VerificationKey> | undefined;
let own: OwnTokenVerification;

beforeEach(async () => {
  const parsed = await parseKeySet(ours.jwks(otherKind), ["ES256", "EdDSA"]);
  if (!parsed.usable) throw new Error(parsed.problem);
  const { keySet } = parsed;
  keys = keySet.keys;
  own = new OwnTokenVerification({
    issuer: ours.issuer,
    audience: ours.audience,
    limits: { clockSkewS: SKEW_S, maxTokenLifetimeS: LIFETIME_S },
    keys: {
      current: () => keys && { generation: 1, find: (kid: string) => keys?.get(kid) },
      noteUnknownKid: () => undefined,
    },
  });
});

const verdict = async (token: string, nowS = NOW_S): Promise<string> => {
  const verified = await own.verify(token, () => nowS);
  return verified.good ? "good" : verified.reason;
};

describe("an own token", () => {
  test("is good, and says whose it is", async () => {
    const verified = await own.verify(ours.mint({ scope: "user" }), () => NOW_S);
    expect(verified).toMatchObject({
      good: true,
      token: { tenant: "tenant-1", user: "user-1", session: "session-1", epoch: 0 },
    });
  });

  test("is good with any of the keys, each by its own algorithm", async () => {
    expect(await verdict(otherKind.mint())).toBe("good");
    const crossed = otherKind.mintFrom({ header: { alg: "ES256" } });
    expect(await verdict(crossed)).toBe("token_algorithm_forbidden");
  });

  test.each<[string, JsonMembers, number, string]>([
    ["not yet expired", { exp: NOW_S + 1 }, NOW_S + SKEW_S, "good"],
    ["expired by as much as the skew", { exp: NOW_S }, NOW_S + SKEW_S, "token_expired"],
    ["expired, a moment less", { exp: NOW_S }, NOW_S + SKEW_S - 0.001, "good"],
    ["issued ahead by the skew", { iat: NOW_S + SKEW_S }, NOW_S, "good"],
    ["issued ahead by more", { iat: NOW_S + SKEW_S + 1 }, NOW_S, "token_not_yet_valid"],
    ["valid from the skew on", { nbf: NOW_S + SKEW_S }, NOW_S, "good"],
    ["valid only later", { nbf: NOW_S + SKEW_S + 1 }, NOW_S, "token_not_yet_valid"],
    ["as long-lived as any", { exp: NOW_S + LIFETIME_S }, NOW_S, "good"],
    ["too long-lived", { exp: NOW_S + LIFETIME_S + 1 }, NOW_S, "token_lifetime_exceeded"],
    ["for others", { aud: "https://other.example" }, NOW_S, "token_audience_mismatch"],
    ["for us among others", { aud: ["https://other.example", ours.audience] }, NOW_S, "good"],
    ["another issuer's", { iss: "https://other.example" }, NOW_S, "token_issuer_unknown"],
    ["without a tenant", { tenant_id: undefined }, NOW_S, "token_claims_invalid"],
    ["of two users", { sub: "user-2" }, NOW_S, "token_claims_invalid"],
  ])("that is %s", async (_, claims, nowS, expected) => {
    expect(await verdict(ours.mint(claims), nowS)).toBe(expected);
  });

  test.each<[string, JsonMembers, string]>([
    ["typ", { typ: "JWT" }, "token_malformed"],
    ["kid", { kid: "unknown" }, "token_key_unknown"],
    ["algorithm", { alg: "HS256" }, "token_algorithm_forbidden"],
    ["algorithm (none)", { alg: "none" }, "token_algorithm_forbidden"],
    ["critical extension", { crit: ["x"], x: 1 }, "token_malformed"],
  ])("is refused with another %s", async (_, header, expected) => {
    expect(await verdict(ours.mintFrom({ header }))).toBe(expected);
  });

  test("is refused when a stranger signed it under our kid", async () => {
    expect(await verdict(stranger.mint())).toBe("token_signature_invalid");
  });

  test("is refused once anything in it was changed, even if it was good a moment ago", async () => {
    const token = ours.mint({ scope: "user" });
    expect(await verdict(token)).toBe("good");
    const [header = "", , signature = ""] = token.split(".");
    const payload = base64url(JSON.stringify(ours.claims({ scope: "operator" })));
    expect(await verdict(`${header}.${payload}.${signature}`)).toBe("token_signature_invalid");
    expect(await verdict(`${token}A`)).not.toBe("good");
    expect(await verdict(token.slice(0, -1))).not.toBe("good");
    expect(await verdict("")).toBe("token_malformed");
  });

  test("cannot be judged without keys", async () => {
    keys = undefined;
    expect(await verdict(ours.mint())).toBe("keys_unavailable");
  });
});
