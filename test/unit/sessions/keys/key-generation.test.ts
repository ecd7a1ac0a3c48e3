import { describe, expect, test } from "@jest/globals";
import { generateSigningKey } from "../../../../src/sessions/keys/key-generation.js";
import { publicJwkSchema, thumbprintOf } from "../../../../src/sessions/keys/public-jwk.js";
import { mintAccessToken, readMintingKey } from "../../../../src/tokens/access-token-mint.js";
import { ALGORITHMS } from "../../../../src/tokens/algorithms.js";
import { parseKeySet } from "../../../../src/tokens/jwks.js";

const MEMBERS = {
  ES256: ["alg", "crv", "kid", "kty", "use", "x", "y"],
  RS256: ["alg", "e", "kid", "kty", "n", "use"],
  PS256: ["alg", "e", "kid", "kty", "n", "use"],
  EdDSA: ["alg", "crv", "kid", "kty", "use", "x"],
};

describe.each(ALGORITHMS)("a generated key for %s", (algorithm) => {
  test("has a public half without any private member, which the sidecar takes", async () => {
    const { publicJwk } = await generateSigningKey(algorithm);
    expect(Object.keys(publicJwk).sort()).toEqual(MEMBERS[algorithm]);
    expect(publicJwk).toMatchObject({ alg: algorithm, use: "sig" });
    const parsed = await parseKeySet({ keys: [publicJwk] }, [algorithm]);
    expect(parsed).toMatchObject({ usable: true, warning: undefined });
  });

  test("has a private half that can sign and cannot be read out again", async () => {
    const { privateKey, publicJwk } = await generateSigningKey(algorithm);
    expect(privateKey).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    const key = await readMintingKey(publicJwk.kid, algorithm, privateKey);
    expect(key.privateKey.extractable).toBe(false);
    const facts = { tenant: "t", user: "u", session: "s", epoch: 0, scopes: [], issuedAtS: 1 };
    const terms = { issuer: "i", audience: "a", lifetimeS: 1 };
    expect((await mintAccessToken(facts, key, terms, "1")).split(".")).toHaveLength(3);
  });

  test("is another one each time, under another kid", async () => {
    const [one, two] = [await generateSigningKey(algorithm), await generateSigningKey(algorithm)];
    expect(one.publicJwk.kid).not.toBe(two.publicJwk.kid);
    expect(one.privateKey).not.toBe(two.privateKey);
  });
});

describe("a public key", () => {
  test("has the thumbprint of RFC 7638, section 3.1", () => {
    const n =
      "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    const members = [
      ["n", n],
      ["kty", "RSA"],
      ["e", "AQAB"],
    ] as const;
    const expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    expect(thumbprintOf(Object.fromEntries(members))).toBe(expected);
    expect(thumbprintOf(Object.fromEntries([...members].reverse()))).toBe(expected);
  });

  test("loses every member that it is not published with", async () => {
    const { publicJwk } = await generateSigningKey("ES256");
    const secret = { ...publicJwk, d: "private", k: "private", note: "private" };
    expect(publicJwkSchema.parse(secret)).toEqual(publicJwk);
  });
});
