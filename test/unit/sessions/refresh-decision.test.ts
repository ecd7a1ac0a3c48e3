import { describe, expect, test } from "@jest/globals";

import {
  decideRefresh,
  type RefreshableSession,
  type RefreshFacts,
} from "../../../src/sessions/refresh-decision.js";

const NOW_MS = 1_800_000_000_000;
const TOLERANCE_MS = 5000;
/** In its seventh generation, which began a minute ago. */
const SESSION: RefreshableSession = {
  ended: false,
  idleExpiresAtMs: NOW_MS + 1000,
  expiresAtMs: NOW_MS + 2000,
  generation: 7,
  rotatedAtMs: NOW_MS - 60_000,
};

function decide(
  facts: Partial<Omit<RefreshFacts, "session">> & { session?: Partial<RefreshableSession> },
  toleranceMs = TOLERANCE_MS,
) {
  const session = { ...SESSION, ...facts.session };
  const whole = { generation: 7, userDisabled: false, ...facts, session };
  return decideRefresh(whole, NOW_MS, toleranceMs);
}

describe("a refresh token", () => {
  test("of the present generation makes the next one, however old it is", () => {
    expect(decide({})).toEqual({ kind: "rotate", generation: 8 });
  });

  test("of a generation that was taken back makes one that is later still", () => {
    expect(decide({ generation: 8 })).toEqual({ kind: "rotate", generation: 9 });
  });

  test.each([
    [-1000, "sibling"],
    [0, "sibling"],
    [4999, "sibling"],
    [5000, "sibling"],
    [5001, "reuse"],
  ])("that was replaced %i ms ago means: %s", (agoMs, kind) => {
    const decision = decide({ generation: 6, session: { rotatedAtMs: NOW_MS - agoMs } });
    expect(decision).toEqual(kind === "sibling" ? { kind, generation: 7 } : { kind });
  });

  test.each([5, 1, 0])("of generation %i is reuse at once", (generation) => {
    const decision = decide({ generation, session: { rotatedAtMs: NOW_MS } });
    expect(decision).toEqual({ kind: "reuse" });
  });

  test("that was replaced this moment is reuse where nothing is tolerated", () => {
    const decision = decide({ generation: 6, session: { rotatedAtMs: NOW_MS } }, 0);
    expect(decision).toEqual({ kind: "reuse" });
  });
});

describe("a session", () => {
  test.each(["idleExpiresAtMs", "expiresAtMs"] as const)("expires at its %s", (limit) => {
    const at = (ms: number) => decide({ session: { [limit]: ms } });
    const invalid = { kind: "refuse", code: "refresh_token_invalid" };
    expect(at(NOW_MS + 1).kind).toBe("rotate");
    expect(at(NOW_MS)).toEqual(invalid);
    expect(at(NOW_MS - 1)).toEqual(invalid);
  });

  test("that has expired is not ended for a token that is used again", () => {
    const decision = decide({ generation: 1, session: { expiresAtMs: NOW_MS } });
    expect(decision).toEqual({ kind: "refuse", code: "refresh_token_invalid" });
  });

  test.each([7, 6, 1])("that was ended is over for generation %i", (generation) => {
    const decision = decide({ generation, session: { ended: true, expiresAtMs: NOW_MS } });
    expect(decision).toEqual({ kind: "refuse", code: "session_ended" });
  });

  test.each([7, 6, 1])("of a disabled user says so to generation %i", (generation) => {
    const decision = decide({ generation, userDisabled: true, session: { ended: true } });
    expect(decision).toEqual({ kind: "refuse", code: "account_disabled" });
  });
});
