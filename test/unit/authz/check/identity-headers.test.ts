import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  encodeHeaderValue,
  identityHeaders,
} from "../../../../src/authz/check/identity-headers.js";
import { tokenWith } from "./request-parts.js";

describe("an id in a header", () => {
  test.each([
    ["plain", "plain"],
    ["a:b", "a:b"],
    ["100%", "100%25"],
    ["%41", "%2541"],
    ["a b", "a%20b"],
    [" ", "%20"],
    ["é", "%C3%A9"],
    ["e\u0301", "e%CC%81"],
    ["関所", "%E9%96%A2%E6%89%80"],
    ["😀", "%F0%9F%98%80"],
    ["a\tb", "a%09b"],
    ["a\r\nb", "a%0D%0Ab"],
    ["\u0000", "%00"],
    ["\u007f", "%7F"],
    ["\u0080", "%C2%80"],
    ["!~", "!~"],
    ['"\\,;', '"\\,;'],
    ["", ""],
  ])("%j is written as %j", (id, expected) => {
    expect(encodeHeaderValue(id)).toBe(expected);
  });

  test("of 256 characters is written in full", () => {
    const id = "関".repeat(256);
    expect(encodeHeaderValue(id)).toBe("%E9%96%A2".repeat(256));
    expect(encodeHeaderValue("a".repeat(256))).toBe("a".repeat(256));
  });

  test("is read back by decodeURIComponent, from visible ASCII only, whatever it is", () => {
    const ids = fc.oneof(
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.string({ unit: "grapheme" }),
      fc.string(),
    );
    fc.assert(
      fc.property(ids, (id) => {
        const encoded = encodeHeaderValue(id);
        expect(decodeURIComponent(encoded)).toBe(id);
        expect(encoded).toMatch(/^[\x21-\x7e]*$/);
      }),
      { numRuns: 2000 },
    );
  });

  test("differs wherever the ids differ", () => {
    const ids = fc.string({ unit: fc.constantFrom("%", "2", "5", " ", "0", "é"), maxLength: 4 });
    fc.assert(
      fc.property(ids, ids, (a, b) => {
        expect(encodeHeaderValue(a) === encodeHeaderValue(b)).toBe(a === b);
      }),
      { numRuns: 2000 },
    );
  });

  test("stands under the name of what it is", () => {
    expect(identityHeaders(tokenWith({ tenant: "t", user: "u", session: "s" }))).toEqual([
      ["x-auth-tenant-id", "t"],
      ["x-auth-user-id", "u"],
      ["x-auth-session-id", "s"],
    ]);
  });
});
