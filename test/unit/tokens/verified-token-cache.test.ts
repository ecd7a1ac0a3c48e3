import { expect, test } from "@jest/globals";
import { inspect } from "node:util";
import type { AccessToken } from "../../../src/tokens/access-token.js";
import { tokenDigest, VerifiedTokenCache } from "../../../src/tokens/verified-token-cache.js";

const TOKEN: AccessToken = {
  issuer: "https://issuer.example",
  audience: ["https://api.example"],
  tenant: "tenant-1",
  user: "user-1",
  session: "session-1",
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

test("does not show the token that it stands for", () => {
  const cache = new VerifiedTokenCache<string>(2);
  cache.remember(tokenDigest("header.payload.signature"), ENTRY);
  expect(inspect(cache, { depth: null, showHidden: true })).not.toContain("payload");
  expect(tokenDigest("header.payload.signature")).not.toContain("payload");
});
