import { describe, expect, test } from "@jest/globals";

import {
  decideRefresh,
  issueTimeMs,
  RETRIES_MAX,
  SUCCESSORS_MAX,
  type LiveToken,
  type PresentedToken,
  type RefreshableSession,
} from "../../../../src/sessions/login/refresh-decision.js";

const NOW_MS = 1_800_000_000_000;
const TIMES = { nowMs: NOW_MS, toleranceMs: 5000, retryMs: 120_000 };
const SESSION: RefreshableSession = {
  ended: false,
  idleExpiresAtMs: NOW_MS + 1000,
  expiresAtMs: NOW_MS + 2000,
};
/** The session's seventh, given for its sixth. */
const LIVE: PresentedToken = {
  generation: 7,
  predecessor: 6,
  expiresAtMs: NOW_MS + 1000,
  replacedAtMs: undefined,
  successorUsed: false,
};

const token = (generation: number, predecessor: number | undefined, retries = 0): LiveToken => ({
  generation,
  predecessor,
  retries,
});

function decide(
  of: {
    token?: Partial<PresentedToken>;
    live?: readonly LiveToken[];
    session?: Partial<RefreshableSession>;
    userDisabled?: boolean;
  },
  times: Partial<typeof TIMES> = {},
) {
  const { live = [token(7, 6)], userDisabled = false } = of;
  const whole = { token: { ...LIVE, ...of.token }, session: { ...SESSION, ...of.session } };
  return decideRefresh({ ...whole, live, userDisabled }, { ...TIMES, ...times });
}

/** The seventh was used so long ago. */
function decideUsed(
  agoMs: number,
  live: readonly LiveToken[] = [token(8, 7)],
  times: Partial<typeof TIMES> = {},
) {
  return decide({ token: { replacedAtMs: NOW_MS - agoMs }, live }, times);
}

const reuse = { kind: "reuse" };

describe("a live refresh token", () => {
  test("rotates, however old it is", () => {
    expect(decide({})).toEqual({ kind: "rotate", dies: [7], settles: undefined });
  });

  test("leaves its sibling to the second chain, and ends the retries of both", () => {
    const live = [token(7, 6), token(8, 6)];
    expect(decide({ live })).toEqual({ kind: "rotate", dies: [7], settles: 6 });
  });

  test("leaves another chain alone", () => {
    const live = [token(7, 6), token(3, 1), token(4, 1)];
    expect(decide({ live })).toEqual({ kind: "rotate", dies: [7], settles: undefined });
  });

  test("takes its siblings with it where there is another chain", () => {
    const live = [token(7, 6), token(8, 6), token(9, 6), token(3, 1)];
    expect(decide({ live })).toEqual({ kind: "rotate", dies: [7, 8, 9], settles: undefined });
  });

  test("of a login has no siblings", () => {
    const first = { generation: 0, predecessor: undefined };
    const decision = decide({ token: first, live: [token(0, undefined)] });
    expect(decision).toEqual({ kind: "rotate", dies: [0], settles: undefined });
  });
});

describe("a used refresh token", () => {
  const sibling = { kind: "sibling", dies: [] };
  const retry = { kind: "retry", dies: [8], retries: 1 };

  test.each([
    [-1000, sibling],
    [0, sibling],
    [5000, sibling],
    [5001, retry],
    [120_000, retry],
    [120_001, reuse],
  ])("whose successor is unused after %i ms means %j", (agoMs, decision) => {
    expect(decideUsed(agoMs)).toEqual(decision);
  });

  test("is retried at once where no siblings are given", () => {
    expect(decideUsed(0, [token(8, 7)], { toleranceMs: 0 })).toEqual(retry);
  });

  test("is reuse after the tolerance where there are no retries", () => {
    expect(decideUsed(5000, [token(8, 7)], { retryMs: 0 })).toEqual(sibling);
    expect(decideUsed(5001, [token(8, 7)], { retryMs: 0 })).toEqual(reuse);
    expect(decideUsed(0, [token(8, 7)], { retryMs: 0, toleranceMs: 0 })).toEqual(reuse);
  });

  test.each([0, 60_000])("is reuse when its successor is live no more, after %i ms", (agoMs) => {
    expect(decideUsed(agoMs, [])).toEqual(reuse);
    expect(decideUsed(agoMs, [token(9, 8), token(6, 5)])).toEqual(reuse);
  });

  test("is reuse when one of its successors was used, whatever became of the others", () => {
    const used = { replacedAtMs: NOW_MS, successorUsed: true };
    expect(decide({ token: used, live: [token(8, 7)] })).toEqual(reuse);
  });

  test("has so many successors at most; one more takes the newest one's place", () => {
    const few = Array.from({ length: SUCCESSORS_MAX - 1 }, (_, index) => token(8 + index, 7));
    expect(decideUsed(0, few)).toEqual(sibling);
    const many = [token(7 + SUCCESSORS_MAX, 7), ...few];
    expect(decideUsed(0, many)).toEqual({ ...retry, dies: [7 + SUCCESSORS_MAX] });
  });

  test("is retried so often at most", () => {
    const last = { ...retry, retries: RETRIES_MAX };
    expect(decideUsed(6000, [token(8, 7, RETRIES_MAX - 1)])).toEqual(last);
    expect(decideUsed(6000, [token(8, 7, RETRIES_MAX)])).toEqual(reuse);
  });
});

describe("a session", () => {
  const invalid = { kind: "refuse", code: "refresh_token_invalid" };
  const used = { replacedAtMs: NOW_MS - 600_000 };

  test.each(["idleExpiresAtMs", "expiresAtMs"] as const)("expires at its %s", (limit) => {
    const at = (ms: number) => decide({ session: { [limit]: ms } });
    expect(at(NOW_MS + 1).kind).toBe("rotate");
    expect(at(NOW_MS)).toEqual(invalid);
    expect(at(NOW_MS - 1)).toEqual(invalid);
  });

  test("that goes on refuses a token that has expired by itself", () => {
    expect(decide({ token: { expiresAtMs: NOW_MS + 1 } }).kind).toBe("rotate");
    expect(decide({ token: { expiresAtMs: NOW_MS } })).toEqual(invalid);
    expect(decide({ token: { ...used, expiresAtMs: NOW_MS } })).toEqual(invalid);
  });

  test("that has expired is not ended for a token that is used again", () => {
    expect(decide({ token: used, session: { expiresAtMs: NOW_MS } })).toEqual(invalid);
  });

  test.each([{}, used])("that was ended is over for a token with %j", (of) => {
    const decision = decide({ token: of, session: { ended: true, expiresAtMs: NOW_MS } });
    expect(decision).toEqual({ kind: "refuse", code: "session_ended" });
  });

  test.each([{}, used])("of a disabled user says so to a token with %j", (of) => {
    const decision = decide({ token: of, userDisabled: true, session: { ended: true } });
    expect(decision).toEqual({ kind: "refuse", code: "account_disabled" });
  });
});

describe("a refreshed token", () => {
  const issued = (change: Partial<Parameters<typeof issueTimeMs>[0]> = {}) =>
    issueTimeMs({
      nowMs: NOW_MS,
      sessionCreatedAtMs: NOW_MS - 1_000_000,
      unsearchedMs: 400,
      unsearchedMaxMs: 300_000,
      ...change,
    });

  test("is no younger than the last search of the log", () => {
    expect([issued(), issued({ unsearchedMs: 0 })]).toEqual([NOW_MS - 400, NOW_MS]);
  });

  test("is no older than its session, nor issued in the future", () => {
    const created = (agoMs: number) => issued({ sessionCreatedAtMs: NOW_MS - agoMs });
    expect([401, 400, 399, -1].map(created)).toEqual([
      ...[NOW_MS - 400, NOW_MS - 400, NOW_MS - 399, NOW_MS],
    ]);
  });

  test("is not given when the log was not searched for too long, whatever the session's age", () => {
    const after = (unsearchedMs: number) => issued({ unsearchedMs, sessionCreatedAtMs: NOW_MS });
    expect([299_999, 300_000, 300_001].map(after)).toEqual([NOW_MS, NOW_MS, undefined]);
  });

  test("is issued now, however long ago that was, where it is turned off", () => {
    expect(issued({ unsearchedMs: 1e9, unsearchedMaxMs: 0 })).toBe(NOW_MS);
  });
});
