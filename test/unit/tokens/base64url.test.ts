import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { decodeBase64url } from "../../../src/tokens/base64url.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

test("decodes what was encoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const text = Buffer.from(bytes).toString("base64url");
      expect(decodeBase64url(text)).toEqual(Buffer.from(bytes));
    }),
  );
});

test("accepts a text exactly where the rules of RFC 4648 make it canonical", () => {
  const characters = fc.array(fc.constantFrom(...Array.from(ALPHABET)), { maxLength: 9 });
  fc.assert(
    fc.property(characters, (array) => {
      const last = ALPHABET.indexOf(array.at(-1) ?? "A");
      const unusedBits = { 0: 0, 1: -1, 2: last & 0b1111, 3: last & 0b11 }[array.length % 4];
      expect(decodeBase64url(array.join("")) !== undefined).toBe(unusedBits === 0);
    }),
    { numRuns: 1000 },
  );
});

test.each([
  ["padding", "QQ=="],
  ["padding of one", "QUI="],
  ["a space", "QU JD"],
  ["a leading space", " QUJD"],
  ["a trailing newline", "QUJD\n"],
  ["a tab", "QU\tJD"],
  ["standard base64's plus", "++++"],
  ["standard base64's slash", "////"],
  ["a length that no bytes encode to", "QUJDR"],
  ["a character outside ASCII", "QUJ\u0141"],
  ["a NUL", "QUJD\0"],
])("refuses %s", (_, text) => {
  expect(decodeBase64url(text)).toBeUndefined();
});

test("refuses unused bits that are not zero, which Node's decoder ignores", () => {
  expect(decodeBase64url("QQ")).toEqual(Buffer.from("A"));
  expect(Buffer.from("QR", "base64url")).toEqual(Buffer.from("A"));
  expect(decodeBase64url("QR")).toBeUndefined();
});

test("decodes the empty text to no bytes", () => {
  expect(decodeBase64url("")).toEqual(Buffer.alloc(0));
});
