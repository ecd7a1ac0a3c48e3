import { describe, expect, test } from "@jest/globals";
import { ALGORITHMS, type Algorithm } from "../../../src/tokens/algorithms.js";
import { KEYS_MAX, parseKeySet } from "../../../src/tokens/jwks.js";
import { makeEcKeyPair } from "../../../dev/key-pair.js";
import { base64url, type JsonMembers, TokenIssuer } from "../../support/token-issuer.js";

const ec = new TokenIssuer({ algorithm: "ES256", kid: "ec" });
const ecOther = new TokenIssuer({ algorithm: "ES256", kid: "ec-other" });
const rsa = new TokenIssuer({ algorithm: "RS256", kid: "rsa" });
const ed = new TokenIssuer({ algorithm: "EdDSA", kid: "ed" });

async function kidsOf(keys: unknown[], allowed: readonly Algorithm[] = ALGORITHMS) {
  const parsed = await parseKeySet({ keys }, allowed);
  return parsed.usable ? [...parsed.keySet.keys.keys()] : undefined;
}

async function problemOf(json: unknown, allowed: readonly Algorithm[] = ALGORITHMS) {
  const parsed = await parseKeySet(json, allowed);
  return parsed.usable ? undefined : parsed.problem;
}

async function algorithmsOf(jwk: JsonMembers, allowed: readonly Algorithm[]) {
  const parsed = await parseKeySet({ keys: [jwk, ecOther.jwk()] }, [...allowed, "ES256"]);
  if (!parsed.usable) throw new Error(parsed.problem);
  const key = [...parsed.keySet.keys.values()].find(({ kid }) => kid === jwk.kid);
  return key === undefined ? undefined : [...key.byAlgorithm.keys()];
}

describe("which algorithms a key serves", () => {
  test.each<[string, JsonMembers, Algorithm[], Algorithm[] | undefined]>([
    ["P-256 and ES256", ec.jwk({ alg: undefined }), ["ES256"], ["ES256"]],
    ["Ed25519 and EdDSA", ed.jwk({ alg: undefined }), ["EdDSA"], ["EdDSA"]],
    ["RSA and RS256", rsa.jwk({ alg: undefined }), ["RS256"], ["RS256"]],
    ["RSA and PS256", rsa.jwk({ alg: undefined }), ["PS256"], ["PS256"]],
    ["RSA and both", rsa.jwk({ alg: undefined }), ["RS256", "PS256"], ["RS256", "PS256"]],
    ["RSA pinned to one of both", rsa.jwk({ alg: "PS256" }), ["RS256", "PS256"], ["PS256"]],
    ["RSA pinned to one not allowed", rsa.jwk({ alg: "PS256" }), ["RS256"], undefined],
    ["RSA pinned to RS512", rsa.jwk({ alg: "RS512" }), ["RS256"], undefined],
    ["RSA where only others are allowed", rsa.jwk({ alg: undefined }), ["EdDSA"], undefined],
    ["Ed25519 where it is not allowed", ed.jwk({ alg: undefined }), [], undefined],
  ])("%s", async (_, jwk, allowed, expected) => {
    expect(await algorithmsOf(jwk, allowed)).toEqual(expected);
  });
});

describe("a key that is not usable is skipped, and the warning says why", () => {
  const p384 = makeEcKeyPair("P-384").publicKey;
  const x25519 = { kty: "OKP", crv: "X25519", x: base64url(Buffer.alloc(32, 9)) };
  const weak = new TokenIssuer({ algorithm: "RS256", kid: "x", rsaBits: 2040 });

  test.each<[string, unknown]>([
    ["it is not an object", "key"],
    ["it is not an object", null],
    ["it is not an object", [ec.jwk()]],
    ["it has no kid", ec.jwk({ kid: undefined })],
    ["it has no kid", ec.jwk({ kid: 1 })],
    ["its kid is empty", ec.jwk({ kid: "" })],
    ["it has no kty", ec.jwk({ kty: undefined })],
    ['its use is not "sig"', ec.jwk({ use: "enc" })],
    ['its key_ops does not contain "verify"', ec.jwk({ key_ops: ["sign"] })],
    ['its key_ops does not contain "verify"', ec.jwk({ key_ops: [] })],
    ["its key_ops is not a list of strings", ec.jwk({ key_ops: "verify" })],
    ["its alg is not a string", ec.jwk({ alg: 1 })],
    ["it is symmetric", { kty: "oct", kid: "x", k: "AAAA", alg: "HS256" }],
    ["it contains the private key", ec.privateJwk()],
    ["it contains the private key", rsa.privateJwk()],
    ["it contains the private key", ed.privateJwk()],
    ["it contains the private key", ec.jwk({ d: null })],
    ["it fits no allowed algorithm", ec.jwk({ kty: "RSA" })],
    ["it fits no allowed algorithm", ec.jwk({ crv: "P-384" })],
    ["it fits no allowed algorithm", { ...p384.export({ format: "jwk" }), kid: "x" }],
    ["it fits no allowed algorithm", { ...x25519, kid: "x" }],
    ["it fits no allowed algorithm", ec.jwk({ alg: "HS256" })],
    ["a member of the key itself is missing", ec.jwk({ y: undefined })],
    ["a member of the key itself is missing", rsa.jwk({ n: undefined })],
    ["a member of the key itself is missing", ed.jwk({ x: 1 })],
    ["its members are not a public key", ec.jwk({ x: "AAAA" })],
    ["its members are not a public key", ed.jwk({ x: "AAAA" })],
    ["its 2040 bits are fewer than 2048", weak.jwk()],
    ["its exponent is not an odd number", rsa.jwk({ e: "AQ" })],
    ["its exponent is not an odd number", rsa.jwk({ e: "AQAA" })],
    ["its exponent is not an odd number", rsa.jwk({ e: "AQAAAAE" })],
  ])("%s", async (why, jwk) => {
    const parsed = await parseKeySet({ keys: [jwk, ecOther.jwk()] }, ALGORITHMS);
    expect(parsed).toMatchObject({ usable: true, warning: expect.stringContaining(why) });
    expect(await kidsOf([jwk, ecOther.jwk()])).toEqual(["ec-other"]);
    expect(await problemOf({ keys: [jwk] })).toContain(`has no usable key: key`);
    expect(await problemOf({ keys: [jwk] })).toContain(why);
  });

  test("a key that is usable gives no warning, whatever else it has", async () => {
    const jwk = ec.jwk({ key_ops: ["verify"], use: undefined, ext: false, x5t: "a", more: {} });
    const parsed = await parseKeySet({ keys: [jwk] }, ["ES256"]);
    expect(parsed).toMatchObject({ usable: true, warning: undefined });
  });

  test("2048 bits are enough", async () => {
    expect(await kidsOf([rsa.jwk()])).toEqual(["rsa"]);
  });
});

describe("a set that is refused", () => {
  test.each<[string, unknown]>([
    ["null", null],
    ["a string", "keys"],
    ["a list", [ec.jwk()]],
    ["a single key", ec.jwk()],
    ["keys that are not a list", { keys: { ec: ec.jwk() } }],
    ["inherited keys", JSON.parse('{"__proto__":{"keys":[]}}')],
  ])("is not a JWK Set: %s", async (_, json) => {
    expect(await problemOf(json)).toBe('is not a JWK Set: it has no list "keys"');
  });

  test("is empty", async () => {
    expect(await problemOf({ keys: [] })).toBe("has no usable key: it is empty");
  });

  test("has two usable keys of one kid", async () => {
    const twice = [ec.jwk(), rsa.jwk({ kid: "ec" })];
    expect(await problemOf({ keys: twice })).toContain('two usable keys have the kid "ec"');
    expect(await kidsOf(twice, ["ES256"])).toEqual(["ec"]);
  });

  test.each([
    [KEYS_MAX, true],
    [KEYS_MAX + 1, false],
  ])("or not, with %i keys: usable %s", async (count, usable) => {
    const keys = Array.from({ length: count }, (_, index) => ec.jwk({ kid: `key-${index}` }));
    expect((await parseKeySet({ keys }, ["ES256"])).usable).toBe(usable);
  });

  test("names a few unusable keys, in one bounded line", async () => {
    const kid = `a\nb${"x".repeat(5000)}`;
    const keys = Array.from({ length: KEYS_MAX }, () => ec.jwk({ kid, use: "enc" }));
    const problem = await problemOf({ keys });
    expect(problem).toContain("and 60 more");
    expect(problem).not.toContain("\n");
    expect(problem?.length).toBeLessThan(500);
  });
});

describe("the fingerprint", () => {
  async function fingerprint(keys: unknown[], allowed = ALGORITHMS.slice()) {
    const parsed = await parseKeySet({ keys }, allowed);
    return parsed.usable ? parsed.keySet.fingerprint : undefined;
  }

  test("is the same for the same usable keys", async () => {
    const expected = await fingerprint([ec.jwk(), rsa.jwk()]);
    expect(expected).toBeDefined();
    expect(await fingerprint([rsa.jwk(), ec.jwk()])).toBe(expected);
    expect(await fingerprint([ec.jwk({ x5t: "a", use: undefined }), rsa.jwk()])).toBe(expected);
    expect(await fingerprint([ec.jwk(), rsa.jwk(), ed.jwk({ use: "enc" })])).toBe(expected);
  });

  test.each<[string, JsonMembers[]]>([
    ["another key under the same kid", [ecOther.jwk({ kid: "ec" }), rsa.jwk()]],
    ["the same key under another kid", [ec.jwk({ kid: "ec-2" }), rsa.jwk()]],
    ["one key fewer", [ec.jwk()]],
    ["one key more", [ec.jwk(), rsa.jwk(), ed.jwk()]],
    ["a key with other algorithms", [ec.jwk(), rsa.jwk({ alg: undefined })]],
  ])("differs for %s", async (_, keys) => {
    expect(await fingerprint(keys)).not.toBe(await fingerprint([ec.jwk(), rsa.jwk()]));
  });
});
