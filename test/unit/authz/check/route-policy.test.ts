import { describe, expect, test } from "@jest/globals";
import {
  parseRoutePolicy,
  routePolicyReader,
  type RoutePolicy,
} from "../../../../src/authz/check/route-policy.js";
import { ON_STALE } from "../../../../src/revocation-log/on-stale.js";

const DEFAULT: RoutePolicy = {
  auth: "required",
  tenant: undefined,
  scopes: [],
  onStale: "deny",
};

describe("a route's policy", () => {
  test("requires a token where nothing is said, and takes the default for staleness", () => {
    for (const onStale of ON_STALE) {
      expect(parseRoutePolicy({}, onStale)).toEqual({ ...DEFAULT, onStale });
    }
  });

  test.each([
    [{ "sekisho.auth": "required" }, {}],
    [{ "sekisho.auth": "optional" }, { auth: "optional" }],
    [{ "sekisho.auth": "public" }, { auth: "public" }],
    [{ "sekisho.tenant": "acme" }, { tenant: "acme" }],
    [{ "sekisho.tenant": "a c:m%e é" }, { tenant: "a c:m%e é" }],
    [{ "sekisho.scopes": "read" }, { scopes: ["read"] }],
    [{ "sekisho.scopes": "read things:write" }, { scopes: ["read", "things:write"] }],
    [{ "sekisho.on_stale": "deny" }, { onStale: "deny" }],
    [{ "sekisho.on_stale": "allow" }, { onStale: "allow" }],
    [{ "sekisho.on_stale": "error" }, { onStale: "error" }],
    [
      { "sekisho.auth": "public", "sekisho.on_stale": "allow" },
      { auth: "public", onStale: "allow" },
    ],
    [
      {
        "sekisho.auth": "optional",
        "sekisho.tenant": "acme",
        "sekisho.scopes": "read",
        "sekisho.on_stale": "error",
      },
      { auth: "optional", tenant: "acme", scopes: ["read"], onStale: "error" },
    ],
  ])("of %j is read", (extensions: Record<string, string>, parts) => {
    expect(parseRoutePolicy(extensions, "deny")).toEqual({ ...DEFAULT, ...parts });
  });

  test("leaves the keys of others alone", () => {
    const others = { "other.auth": "x", virtual_host: "api", "x.sekisho.auth": "public", "": "" };
    expect(parseRoutePolicy(others, "deny")).toEqual(DEFAULT);
  });

  test("overrides the default for staleness, in either direction", () => {
    expect(parseRoutePolicy({ "sekisho.on_stale": "deny" }, "allow")?.onStale).toBe("deny");
    expect(parseRoutePolicy({ "sekisho.on_stale": "allow" }, "deny")?.onStale).toBe("allow");
  });

  test.each([
    "sekisho.Auth",
    "Sekisho.auth",
    "SEKISHO.AUTH",
    "sekisho_auth",
    "sekisho-auth",
    "sekisho",
    "sekisho.",
    "sekisho. auth",
    " sekisho.auth",
    "\tsekisho.auth",
    "sekisho.auth ",
    "sekisho.scope",
    "sekisho.onstale",
    "sekisho.on-stale",
    "sekisho.tenant_id",
  ])("is invalid with the key %j, whatever it says", (key) => {
    for (const value of ["required", "deny", ""]) {
      expect(parseRoutePolicy({ [key]: value }, "deny")).toBeUndefined();
      const beside = { "sekisho.auth": "required", [key]: value };
      expect(parseRoutePolicy(beside, "deny")).toBeUndefined();
    }
  });

  test.each([
    ["sekisho.auth", ["", "Required", "PUBLIC", " required", "public ", "none", "true"]],
    ["sekisho.on_stale", ["", "Deny", "fail", "allow ", "true"]],
    ["sekisho.tenant", ["", "a\u0000", "a\n", "a".repeat(257), "\ud800"]],
    ["sekisho.scopes", ["", " ", "a  b", " a", "a ", "a,b\t", 'a"b', "a\\b", "é"]],
  ])("is invalid with a wrong value of %s", (key, values) => {
    for (const value of values) {
      expect([value, parseRoutePolicy({ [key]: value }, "deny")]).toEqual([value, undefined]);
    }
  });

  test.each([
    { "sekisho.auth": "public", "sekisho.tenant": "acme" },
    { "sekisho.auth": "public", "sekisho.scopes": "read" },
  ])("is invalid where a public route asks who is calling: %j", (extensions) => {
    expect(parseRoutePolicy(extensions, "deny")).toBeUndefined();
  });

  test("takes a tenant of 256 characters", () => {
    const tenant = "é".repeat(256);
    expect(parseRoutePolicy({ "sekisho.tenant": tenant }, "deny")?.tenant).toBe(tenant);
  });
});

describe("the reader that remembers policies", () => {
  test("answers what the parser answers, the first time and the second", () => {
    const read = routePolicyReader("allow");
    const routes: Record<string, string>[] = [
      {},
      { "sekisho.auth": "optional" },
      { "sekisho.auth": "bogus" },
      { other: "x" },
      { "sekisho.scopes": "a b" },
    ];
    for (const round of [1, 2]) {
      for (const route of routes) {
        expect([round, read(route)]).toEqual([round, parseRoutePolicy(route, "allow")]);
      }
    }
  });

  test("gives the very same policy for the same route", () => {
    const read = routePolicyReader("deny");
    const first = read({ "sekisho.tenant": "acme" });
    expect(first).toBeDefined();
    expect(read({ "sekisho.tenant": "acme" })).toBe(first);
  });

  test("does not confuse routes whose texts only run together alike", () => {
    const read = routePolicyReader("deny");
    expect(read({ "sekisho.tenant": 'a","x":"y' })?.tenant).toBe('a","x":"y');
    expect(read({ "sekisho.tenant": "a", x: "y" })?.tenant).toBe("a");
  });

  test("holds 256 policies and begins anew with the next, still answering correctly", () => {
    const read = routePolicyReader("deny");
    const route = (index: number) => ({ "sekisho.tenant": `t${index}` });
    const first = read(route(0));
    for (let index = 1; index < 256; index += 1) read(route(index));
    expect(read(route(0))).toBe(first);
    expect(read(route(256))?.tenant).toBe("t256");
    const again = read(route(0));
    expect(again).toEqual(first);
    expect(again).not.toBe(first);
  });
});
