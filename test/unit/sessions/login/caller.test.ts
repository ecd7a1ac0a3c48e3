import { describe, expect, test } from "@jest/globals";

import { isGood, presentScopes } from "../../../../src/sessions/login/caller.js";
import { SCOPES, scopesOf } from "../../../../src/sessions/login/scopes.js";
import type { SessionStatus } from "../../../../src/sessions/login/session-sql.js";

const NOW_MS = 1_800_000_000_000;
const STANDING: SessionStatus = {
  user: "ann",
  role: "user",
  epoch: 3,
  disabled: false,
  ended: false,
  idleExpiresAtMs: NOW_MS + 1,
  expiresAtMs: NOW_MS + 1,
  passwordChangeOnly: false,
};
const TOKEN = { user: "ann", epoch: 3 };

describe("a token", () => {
  test("is good while its session is open and its epoch the user's", () => {
    expect(isGood(TOKEN, STANDING, NOW_MS)).toBe(true);
  });

  test.each([
    ["an earlier epoch", { epoch: 2 }, {}],
    ["an epoch that was never given", { epoch: 4 }, {}],
    ["another user than its session's", { user: "bob" }, {}],
    ["a disabled user", {}, { disabled: true }],
    ["an ended session", {}, { ended: true }],
    ["a session idle for too long", {}, { idleExpiresAtMs: NOW_MS }],
    ["a session that is too old", {}, { expiresAtMs: NOW_MS }],
  ])("of %s is refused", (_what, token, standing) => {
    expect(isGood({ ...TOKEN, ...token }, { ...STANDING, ...standing }, NOW_MS)).toBe(false);
  });
});

describe("scopes", () => {
  test("are the role's", () => {
    expect(scopesOf("operator", false)).toEqual(["operator", "user"]);
    expect(scopesOf("tenant_admin", false)).toEqual(["tenant_admin", "user"]);
    expect(scopesOf("user", false)).toEqual(["user"]);
  });

  test.each(["operator", "tenant_admin", "user"] as const)(
    "of a one-time password are the same for every role: %s",
    (role) => {
      expect(scopesOf(role, true)).toEqual(["password_change"]);
    },
  );

  test("that the user no longer has are left out", () => {
    const token = { scopes: new Set(SCOPES.operator) };
    expect(presentScopes(token, STANDING)).toEqual(new Set(["user"]));
  });

  test("that the token does not have are not added", () => {
    const token = { scopes: new Set(["password_change"]) };
    expect(presentScopes(token, STANDING)).toEqual(new Set(["password_change"]));
  });

  test("are one alone where the password has to be replaced first", () => {
    const token = { scopes: new Set(["user", "password_change"]) };
    const standing = { ...STANDING, passwordChangeOnly: true };
    expect(presentScopes(token, standing)).toEqual(new Set(["password_change"]));
  });
});
