import { describe, expect, test } from "@jest/globals";

import { readUnverifiedToken } from "../../../src/tokens/unverified-token.js";
import { signedDigestOf } from "../../../src/tokens/verified-token-cache.js";
import { unsignedToken } from "../../support/unsigned-token.js";

const ISSUER = "https://issuer.example";

describe("a token that is to be revoked", () => {
  test("is named by issuer, jti, tenant and what was signed, expired or not", () => {
    const token = unsignedToken({ tenant_id: "acme", jti: "one", exp: 1 });
    expect(readUnverifiedToken(token)).toEqual({
      tenant: "acme",
      issuer: ISSUER,
      jti: "one",
      signedDigest: signedDigestOf(token),
    });
  });

  test("has the same names with another signature", () => {
    const token = unsignedToken({ tenant_id: "acme" });
    const altered = token.replace(/AAAA$/, "BBBB");
    expect(readUnverifiedToken(altered)).toEqual(readUnverifiedToken(token));
  });

  test.each([[undefined], [7], [""], ["a\nb"], ["x".repeat(257)], [["one"]]])(
    "leaves out a jti and a tenant that are %j",
    (value) => {
      const token = unsignedToken({ tenant_id: value, jti: value });
      expect(readUnverifiedToken(token)).toMatchObject({ tenant: undefined, jti: undefined });
    },
  );

  test.each([[undefined], [7], [""], ["a\nb"], ["x".repeat(2049)]])(
    "is none with the issuer %j, which no node accepts",
    (iss) => {
      expect(readUnverifiedToken(unsignedToken({ iss }))).toBeUndefined();
    },
  );

  test.each([
    ["nothing", ""],
    ["no dots", "abc"],
    ["two parts", "e30.e30"],
    ["five parts", "e30.e30.e30.e30.e30"],
    ["a space at its end", `${unsignedToken({})} `],
    ["more than 8 KiB", unsignedToken({ text: "x".repeat(8192) })],
  ])("is none with %s", (_what, raw) => {
    expect(readUnverifiedToken(raw)).toBeUndefined();
  });
});
