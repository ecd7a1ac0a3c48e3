import { describe, expect, test } from "@jest/globals";
import { epochSchema, identifierSchema, isIdentifier } from "../../../src/tokens/identifier.js";

describe("an id", () => {
  test.each([
    ["a"],
    [" "],
    ["a:b%c d"],
    ["é"],
    ["e\u0301"],
    ["関所"],
    ["\u00a0"],
    ["\u200b"],
    ["a".repeat(256)],
    ["é".repeat(256)],
    ["😀".repeat(256)],
    [`${"a".repeat(255)}😀`],
  ])("may be %j", (text) => {
    expect(isIdentifier(text)).toBe(true);
    expect(identifierSchema.safeParse(text).success).toBe(true);
  });

  test.each([
    [""],
    ["a".repeat(257)],
    ["😀".repeat(257)],
    [`${"a".repeat(256)}😀`],
    ["a".repeat(100_000)],
    ["\u0000"],
    ["a\n"],
    ["\t"],
    ["a\u001fb"],
    ["\u007f"],
    ["\u0080"],
    ["\u009f"],
    ["\ud800"],
    ["a\udc00"],
    ["\udc00\ud800"],
  ])("may not be %j", (text) => {
    expect(isIdentifier(text)).toBe(false);
    expect(identifierSchema.safeParse(text).success).toBe(false);
  });

  test.each([[1], [null], [undefined], [["a"]]])("is text, never %j", (value) => {
    expect(identifierSchema.safeParse(value).success).toBe(false);
  });
});

describe("an epoch", () => {
  test.each([
    [0, true],
    [1, true],
    [Number.MAX_SAFE_INTEGER, true],
    [-1, false],
    [0.5, false],
    [Number.MAX_SAFE_INTEGER + 1, false],
    [Infinity, false],
    [NaN, false],
    ["1", false],
    [null, false],
  ])("may be %j: %s", (value, allowed) => {
    expect(epochSchema.safeParse(value).success).toBe(allowed);
  });
});
