import { expect, test } from "@jest/globals";
import type { AccessToken } from "../../../src/tokens/access-token.js";
import { tokenDigest, VerifiedTokenCache } from "../../../src/tokens/verified-token-cache.js";
import { tokenNames } from "../../support/token-names.js";

const TOKEN: AccessToken = {
  ...tokenNames("tenant-1", "user-1", "session-1"),
  audience: ["https://api.example"],
  epoch: 0,
  issuedAt: 1000,
  expiresAt: 1300,
  notBefore: undefined,
  scopes: new Set(),
};
const ENTRY = { token: TOKEN, issuer: "issuer", generation: 1 };

test("finds what it was given, until it is told to forget it", () => {
  const cache = new VerifiedTokenCache<string>(10);
  cache.remember("a", ENTRY);
  expect(cache.find("a")).toBe(ENTRY);
  expect(cache.find("b")).toBeUndefined();
  cache.forget("a");
  expect(cache.find("a")).toBeUndefined();
});

test("never holds more than its maximum, and drops what was not asked for the longest", () => {
  const cache = new VerifiedTokenCache<string>(2);
  cache.remember("a", ENTRY);
  cache.remember("b", ENTRY);
  cache.find("a");
  cache.remember("c", ENTRY);
  expect(cache.size).toBe(2);
  expect(cache.find("b")).toBeUndefined();
  expect(cache.find("a")).toBe(ENTRY);
});

test("a digest covers the whole token", () => {
  const token = "a.b.c";
  for (const other of ["a.b.d", "a.b.", "a.c.c", "b.b.c", "a.b.c ", ""]) {
    expect(tokenDigest(other)).not.toBe(tokenDigest(token));
  }
  expect(tokenDigest("a.b.c")).toBe(tokenDigest(token));
});

test("a digest does not confuse a character with the low byte of another", () => {
  expect(Buffer.from("\u0141", "latin1")).toEqual(Buffer.from("A", "latin1"));
  expect(tokenDigest("\u0141.b.c")).not.toBe(tokenDigest("A.b.c"));
});

test("a digest is SHA-256, which nobody reads a token from", () => {
  const expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect(Buffer.from(tokenDigest("abc"), "base64").toString("hex")).toBe(expected);
});
