import { createHash } from "node:crypto";

import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";

import { isIdentifier } from "../../../../src/tokens/identifier.js";
import {
  newRefreshToken,
  parseRefreshToken,
} from "../../../../src/sessions/login/refresh-token.js";

const bytes = (size: number) => new Uint8Array(size).fill(0xab);
const SECRET = Buffer.from(bytes(32)).toString("base64url");
const encoded = (text: string) => Buffer.from(text, "utf8").toString("base64url");

describe("a refresh token", () => {
  test("names its tenant and has 256 random bits", () => {
    const { token } = newRefreshToken("acme", bytes);
    expect(token).toBe(`skr1.${encoded("acme")}.${SECRET}`);
    expect(SECRET).toHaveLength(43);
  });

  test("is known by the SHA-256 of its whole text", () => {
    const { token, hash } = newRefreshToken("acme", bytes);
    expect(Buffer.from(hash)).toEqual(createHash("sha256").update(token).digest());
    const parsed = parseRefreshToken(token);
    expect(parsed).toEqual({ tenant: "acme", hash });
  });

  test("can be read back for every tenant", () => {
    const tenants = fc.string({ unit: "binary", minLength: 1, maxLength: 256 });
    fc.assert(
      fc.property(tenants.filter(isIdentifier), (tenant) => {
        expect(parseRefreshToken(newRefreshToken(tenant, bytes).token)?.tenant).toBe(tenant);
      }),
    );
  });

  test("of the longest tenant can be read back, and nothing longer", () => {
    const { token } = newRefreshToken("\u{1F98A}".repeat(256), bytes);
    expect(token).toHaveLength(1415);
    expect(parseRefreshToken(token)).toBeDefined();
    expect(parseRefreshToken(`${token}A`)).toBeUndefined();
  });

  test.each([
    ["nothing", ""],
    ["another name", `skr2.${encoded("acme")}.${SECRET}`],
    ["no tenant", `skr1..${SECRET}`],
    ["no secret", `skr1.${encoded("acme")}.`],
    ["two parts", `skr1.${encoded("acme")}`],
    ["four parts", `skr1.${encoded("acme")}.${SECRET}.`],
    ["31 bytes", `skr1.${encoded("acme")}.${SECRET.slice(0, 42)}`],
    ["33 bytes", `skr1.${encoded("acme")}.${SECRET}q`],
    ["padding", `skr1.${encoded("acme")}.${SECRET}=`],
    ["white space", `skr1.${encoded("acme")}.${SECRET} `],
    ["base64 that is not for URLs", `skr1.${encoded("acme")}.${"+".repeat(43)}`],
    ["bits that no canonical form has", `skr1.${encoded("acme")}.${SECRET.slice(0, 42)}t`],
    ["a tenant that is not canonical", `skr1.${encoded("a").slice(0, 1)}R.${SECRET}`],
    ["a tenant that is not UTF-8", `skr1.${Buffer.from([0xff]).toString("base64url")}.${SECRET}`],
    ["a tenant with a control character", `skr1.${encoded("a\u0000")}.${SECRET}`],
    ["a tenant that is too long", `skr1.${encoded("a".repeat(257))}.${SECRET}`],
  ])("is not read from %s", (_what, text) => {
    expect(parseRefreshToken(text)).toBeUndefined();
  });
});
