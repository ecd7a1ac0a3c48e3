import { describe, expect, test } from "@jest/globals";

import { bearerOf, refusalOf } from "../../../../src/sessions/http/authority.js";

const caller = (...scopes: string[]) => ({
  tenant: "acme",
  user: "ada",
  session: "s",
  scopes: new Set(scopes),
});

describe("who may do what", () => {
  const operator = caller("operator", "user");
  const admin = caller("tenant_admin", "user");
  const user = caller("user");
  const newcomer = caller("password_change");

  test.each([
    ["an operator", operator, "session", "acme", undefined],
    ["an operator", operator, "user", "acme", undefined],
    ["an operator", operator, "operator", undefined, undefined],
    ["an operator", operator, "tenant_admin", "another", undefined],
    ["a tenant's administrator", admin, "user", undefined, undefined],
    ["a tenant's administrator", admin, "tenant_admin", "acme", undefined],
    ["a tenant's administrator", admin, "tenant_admin", "another", "not_found"],
    ["a tenant's administrator", admin, "tenant_admin", "Acme", "not_found"],
    ["a tenant's administrator", admin, "tenant_admin", "sekisho", "not_found"],
    ["a tenant's administrator", admin, "operator", undefined, "scope_insufficient"],
    ["a user", user, "session", undefined, undefined],
    ["a user", user, "user", undefined, undefined],
    ["a user", user, "tenant_admin", "acme", "scope_insufficient"],
    ["a user", user, "tenant_admin", "another", "scope_insufficient"],
    ["a user", user, "operator", undefined, "scope_insufficient"],
    ["who has to replace a password", newcomer, "session", undefined, undefined],
    ["who has to replace a password", newcomer, "user", undefined, "scope_insufficient"],
    ["who has to replace a password", newcomer, "tenant_admin", "acme", "scope_insufficient"],
    ["who has no scope", caller(), "user", undefined, "scope_insufficient"],
  ] as const)("%s (%o) asked as %s of %s gets %s", (_who, one, need, tenant, code) => {
    expect(refusalOf(one, need, tenant)?.code).toBe(code);
  });

  test("leaves a tenant that is no id to be refused as such, for everybody alike", () => {
    expect(refusalOf(admin, "tenant_admin", "\u0000")).toBeUndefined();
    expect(refusalOf(user, "tenant_admin", "\u0000")).toEqual({ code: "scope_insufficient" });
  });
});

describe("the access token of a request", () => {
  test.each([
    ["Bearer abc.def-_~+/==", "abc.def-_~+/=="],
    ["bearer abc", "abc"],
    ["BEARER   abc", "abc"],
  ])("in %j is found", (header, token) => {
    expect(bearerOf([header])).toEqual({ token });
  });

  test.each([
    [[], "token_missing"],
    [["Basic YTpi"], "token_missing"],
    [["Bearerabc"], "token_missing"],
    [["Bearer"], "invalid_token"],
    [["Bearer "], "invalid_token"],
    [["Bearer a b"], "invalid_token"],
    [["Bearer a,Bearer b"], "invalid_token"],
    [["Bearer é"], "invalid_token"],
    [["Bearer a", "Bearer b"], "invalid_token"],
    [["Basic YTpi", "Bearer b"], "invalid_token"],
  ])("in %j is refused as %s", (headers, code) => {
    expect(bearerOf(headers)).toEqual({ refused: { code } });
  });
});
