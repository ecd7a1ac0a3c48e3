import { describe, expect, test } from "@jest/globals";
import { AUDIENCES_MAX, NUMERIC_DATE_MAX, readClaims } from "../../../src/tokens/claims.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../../../src/tokens/issuer.js";
import { parseJsonObject } from "../../../src/runtime/json-members.js";

const ISSUER: Issuer = {
  issuer: "https://issuer.example",
  audience: "https://api.example",
  keyLocation: { kind: "file", path: "/nowhere" },
  algorithms: ["ES256"],
  typ: "at+jwt",
  tenants: undefined,
  claims: DEFAULT_CLAIM_NAMES,
};

const CLAIMS = {
  iss: "https://issuer.example",
  aud: "https://api.example",
  sub: "user-1",
  iat: 1000,
  exp: 1300,
  tenant_id: "tenant-1",
  user_id: "user-1",
  session_id: "session-1",
  user_epoch: 7,
};

const SIGNATURE = { signedDigest: "digest", keyThumbprint: "thumbprint" };

function read(claims: Record<string, unknown>, issuer = ISSUER) {
  const payload = parseJsonObject(JSON.stringify({ ...CLAIMS, ...claims }));
  if (payload === undefined) throw new Error("not a payload");
  return readClaims(payload, issuer, SIGNATURE);
}

test("reads every claim", () => {
  expect(read({ nbf: 999.5, jti: "id", scope: "orders:read orders:write", extra: [1] })).toEqual({
    issuer: "https://issuer.example",
    audience: ["https://api.example"],
    tenant: "tenant-1",
    user: "user-1",
    session: "session-1",
    epoch: 7,
    issuedAt: 1000,
    expiresAt: 1300,
    notBefore: 999.5,
    scopes: new Set(["orders:read", "orders:write"]),
    jti: "id",
    client: undefined,
    ...SIGNATURE,
  });
});

test.each([
  [{ client_id: "shop", azp: "other" }, "shop"],
  [{ azp: "shop" }, "shop"],
  [{ client_id: 7, azp: "shop" }, "shop"],
  [{ client_id: "", azp: null }, undefined],
  [{ client_id: "c".repeat(257) }, undefined],
])("takes the OAuth client from client_id, else from azp: %j", (claims, client) => {
  expect(read(claims)?.client).toBe(client);
});

test("keeps no jti that a revocation could not name", () => {
  expect(read({ jti: "j".repeat(256) })?.jti).toBe("j".repeat(256));
  expect(read({ jti: "j".repeat(257) })).toMatchObject({ jti: undefined, user: "user-1" });
});

test("reads a token without the optional claims", () => {
  expect(read({})).toMatchObject({ notBefore: undefined, scopes: new Set() });
});

test.each(Object.keys(CLAIMS))("refuses a token without %s, and one where it is null", (name) => {
  expect(read({ [name]: undefined })).toBeUndefined();
  expect(read({ [name]: null })).toBeUndefined();
});

test.each(["nbf", "scope", "jti"])("refuses %s where it is null", (name) => {
  expect(read({ [name]: null })).toBeUndefined();
});

test("refuses a token of another issuer", () => {
  expect(read({ iss: "https://issuer.example/" })).toBeUndefined();
});

describe("audience", () => {
  test.each([
    ["one string", "a", ["a"]],
    ["a list", ["a", "b"], ["a", "b"]],
    ["an empty string", "", undefined],
    ["an empty list", [], undefined],
    ["a list with a number", ["a", 1], undefined],
    ["a list in a list", [["a"]], undefined],
    ["an object", { a: "a" }, undefined],
  ])("may be %s or not", (_, aud, expected) => {
    expect(read({ aud })?.audience).toEqual(expected);
  });

  test.each([
    [AUDIENCES_MAX, true],
    [AUDIENCES_MAX + 1, false],
  ])("may have %i elements: %s", (count, accepted) => {
    expect(read({ aud: Array(count).fill("a") }) !== undefined).toBe(accepted);
  });
});

describe.each(["exp", "iat", "nbf"])("the time %s", (name) => {
  test.each([
    [-1, false],
    [0, true],
    [0.5, true],
    [NUMERIC_DATE_MAX, true],
    [NUMERIC_DATE_MAX + 1, false],
    ["1000", false],
    [true, false],
    [[1000], false],
  ])("may be %j: %s", (value, accepted) => {
    expect(read({ [name]: value }) !== undefined).toBe(accepted);
  });

  test("may not be a number too large for a double", () => {
    const payload = parseJsonObject(
      JSON.stringify({ ...CLAIMS, [name]: 1 }).replace(`"${name}":1`, `"${name}":1e999`),
    );
    expect(payload?.[name]).toBe(Number.POSITIVE_INFINITY);
    expect(readClaims(payload ?? {}, ISSUER, SIGNATURE)).toBeUndefined();
  });
});

describe("ids", () => {
  test.each([
    ["256 characters", "x".repeat(256), true],
    ["257 characters", "x".repeat(257), false],
    ["no characters", "", false],
    ["a lone surrogate", "\ud800", false],
    ["a control character", "a\u0000b", false],
    ["colons, per cent signs, spaces and other scripts", "a:b%20 関所 😀", true],
    ["a number", 1, false],
    ["a list", ["tenant-1"], false],
  ])("may have %s or not", (_, id, accepted) => {
    expect(read({ tenant_id: id }) !== undefined).toBe(accepted);
    expect(read({ session_id: id }) !== undefined).toBe(accepted);
    expect(read({ user_id: id, sub: id }) !== undefined).toBe(accepted);
  });

  test("are not normalised when sub is compared with the user", () => {
    expect(read({ user_id: "\u00e9", sub: "e\u0301" })).toBeUndefined();
    expect(read({ user_id: "user-2" })).toBeUndefined();
  });
});

describe("the epoch", () => {
  test.each([
    [0, true],
    [Number.MAX_SAFE_INTEGER, true],
    [Number.MAX_SAFE_INTEGER + 1, false],
    [-1, false],
    [0.5, false],
    ["7", false],
  ])("may be %j: %s", (epoch, accepted) => {
    expect(read({ user_epoch: epoch })?.epoch).toBe(accepted ? epoch : undefined);
  });

  test("is 0 for an issuer without one, whatever the token says", () => {
    const issuer = { ...ISSUER, claims: { ...DEFAULT_CLAIM_NAMES, epoch: null } };
    expect(read({ user_epoch: 9 }, issuer)?.epoch).toBe(0);
    expect(read({ user_epoch: "x" }, issuer)?.epoch).toBe(0);
    expect(read({ user_epoch: undefined }, issuer)?.epoch).toBe(0);
  });
});

describe("scope", () => {
  test.each([
    ["", []],
    ["a", ["a"]],
    ["a b a", ["a", "b"]],
    [" a  b ", ["a", "b"]],
  ])("%j gives %j", (scope, expected) => {
    expect(read({ scope })?.scopes).toEqual(new Set(expected));
  });

  test.each([[["a"]], [1], [{}]])("may not be %j", (scope) => {
    expect(read({ scope })).toBeUndefined();
  });
});

describe("names from the configuration", () => {
  const claims = { tenant: "org", user: "sub", session: "sid", epoch: "gen" };
  const issuer = { ...ISSUER, claims };

  test("are where the facts are read from", () => {
    const renamed = { org: "o", sid: "s", gen: 3, sub: "u" };
    expect(read({ ...renamed, tenant_id: 1, user_id: 2, session_id: 3 }, issuer)).toMatchObject({
      tenant: "o",
      user: "u",
      session: "s",
      epoch: 3,
    });
  });

  test.each(["toString", "constructor", "__proto__", "valueOf"])(
    "never find what a payload inherited: %s",
    (name) => {
      const odd = { ...ISSUER, claims: { ...DEFAULT_CLAIM_NAMES, session: name } };
      expect(read({}, odd)).toBeUndefined();
      const own = parseJsonObject(JSON.stringify(CLAIMS).replace("session_id", name));
      expect(readClaims(own ?? {}, odd, SIGNATURE)?.session).toBe("session-1");
    },
  );
});

test("does not take claims from a member called __proto__", () => {
  const { session_id, ...rest } = CLAIMS;
  const text = `{"__proto__":{"session_id":"${session_id}"},${JSON.stringify(rest).slice(1)}`;
  const payload = parseJsonObject(text);
  expect(payload?.iss).toBe(CLAIMS.iss);
  expect(readClaims(payload ?? {}, ISSUER, SIGNATURE)).toBeUndefined();
});
