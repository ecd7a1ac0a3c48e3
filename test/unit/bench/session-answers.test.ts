import { describe, expect, test } from "@jest/globals";

import { faultOfRead, faultOfReceipt, refreshed } from "../../../bench/load/session-answers.js";

const answer = (body: object, status = 200) => ({ status, body: JSON.stringify(body) });

describe("the answer to a refresh", () => {
  const before = { session: "s", accessToken: "access 1", refreshToken: "refresh 1" };
  const good = {
    access_token: "access 2",
    token_type: "Bearer",
    expires_in: 600,
    refresh_token: "refresh 2",
    session_id: "s",
    password_change_required: false,
  };

  test("gives the session its next tokens", () => {
    const after = { session: "s", accessToken: "access 2", refreshToken: "refresh 2" };
    expect(refreshed(answer(good), before)).toEqual(after);
  });

  test.each([
    ["another status", answer(good, 503), "answered 503"],
    ["no tokens", answer({ ...good, access_token: "" }), "not the answer to a refresh"],
    ["tokens of another session", answer({ ...good, session_id: "t" }), "of session t"],
    ["the old refresh token", answer({ ...good, refresh_token: "refresh 1" }), "not rotated"],
    ["the old access token", answer({ ...good, access_token: "access 1" }), "not a new one"],
    ["tokens for nothing", answer({ ...good, password_change_required: true }), "not the answer"],
  ])("is wrong with %s", (_, wrong, fault) => {
    expect(refreshed(wrong, before)).toContain(fault);
  });
});

describe("the answer to a read", () => {
  const read = { path: "/", by: "sessions", list: "sessions", length: 2 } as const;
  const mine = { session_id: "s", current: true };
  const other = { session_id: "t", current: false };

  test("lists as much as there is, and marks the session that asks", () => {
    expect(faultOfRead(answer({ sessions: [other, mine] }), read, "s")).toBeUndefined();
    expect(faultOfRead(answer({ sessions: [{}, {}] }), read, undefined)).toBeUndefined();
  });

  test.each([
    ["another status", answer({ sessions: [mine, other] }, 401), "answered 401"],
    ["another list", answer({ users: [mine, other] }), "no list of sessions"],
    ["a shorter list", answer({ sessions: [mine] }), "1 sessions instead of 2"],
    ["another session marked", answer({ sessions: [mine, other] }), "not marked", "t"],
  ])("is wrong with %s", (_, wrong, fault, asking = "s") => {
    expect(faultOfRead(wrong, read, asking)).toContain(fault);
  });
});

describe("a receipt", () => {
  const good = { published: true, acknowledged: true, confirmed: true, nodes: 3, applied: 3 };

  test("names every node", () => {
    expect(faultOfReceipt(answer(good), 3)).toBeUndefined();
  });

  test.each([
    ["a node that has not applied it", answer({ ...good, applied: 2 })],
    ["a node that nobody knows of", answer({ ...good, nodes: 2, applied: 2 })],
    ["a node that is pending", answer({ ...good, confirmed: false })],
    ["no node at all", answer({ published: true, acknowledged: true })],
    ["nothing published", answer({ ...good, published: false }, 202)],
  ])("is wrong with %s", (_, wrong) => {
    expect(faultOfReceipt(wrong, 3)).toBeDefined();
  });
});
