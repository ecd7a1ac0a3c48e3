import { describe, expect, it } from "@jest/globals";
import { momentOf } from "../../../../src/runtime/clock.js";
import { LocalState } from "../../../../src/authz/follow/local-state-lru.js";
import { standingOf } from "../../../../src/authz/follow/standing.js";
import { ManualClock } from "../../../support/manual-clock.js";

const limits = { maxStalenessMs: 1000, skewMs: 5000 };

function setUp(coversFromMs = 0) {
  const clock = new ManualClock();
  const state = new LocalState(10, clock);
  const provenAt = momentOf(clock);
  const token = {
    issuer: "i",
    audience: ["a"],
    tenant: "acme",
    user: "ann",
    session: "s",
    epoch: 1,
    issuedAt: 1_800_000_000,
    expiresAt: 1_800_000_600,
    notBefore: undefined,
    scopes: new Set<string>(),
  };
  const doubt = (freshness: { provenAt: typeof provenAt | undefined; coversFromMs: number }) =>
    standingOf(token, { state, freshness }, momentOf(clock), limits).doubt;
  return {
    clock,
    state,
    token,
    provenAt,
    doubt: () => doubt({ provenAt, coversFromMs }),
    doubtOf: doubt,
  };
}

describe("a token's standing", () => {
  it("is in doubt until the first proof of freshness", () => {
    const { doubtOf } = setUp();
    expect(doubtOf({ provenAt: undefined, coversFromMs: 0 })).toBe("stale");
  });

  it("is certain up to the staleness limit and in doubt beyond it", () => {
    const { clock, doubt } = setUp();
    clock.advance(1000);
    expect(doubt()).toBeUndefined();
    clock.advance(1);
    expect(doubt()).toBe("stale");
  });

  it("goes by whichever clock says that more time has passed", () => {
    const slept = setUp();
    slept.clock.suspend(1001);
    expect(slept.doubt()).toBe("stale");
    const heldBack = setUp();
    heldBack.clock.advanceMonotonic(1001);
    expect(heldBack.doubt()).toBe("stale");
    const setBack = setUp();
    setBack.clock.setWall(-1_000_000);
    expect(setBack.doubt()).toBeUndefined();
  });

  it("is in doubt for a token that is not younger than the log by more than the skew", () => {
    const issuedMs = 1_800_000_000_000;
    expect(setUp(issuedMs - 5000).doubt()).toBe("before_log");
    expect(setUp(issuedMs - 5001).doubt()).toBeUndefined();
  });

  it("is in doubt while memory is saturated or an entry cannot be read", () => {
    const saturated = setUp();
    for (let i = 0; i <= 10; i += 1) {
      const revocation = {
        kind: "session_revoked",
        tenant: "x",
        session: `${i}`,
        user: undefined,
      } as const;
      saturated.state.apply(revocation, saturated.clock.wallMs() + 60_000);
    }
    expect(saturated.doubt()).toBe("saturated");
    const unreadable = setUp();
    unreadable.state.doubtTenant("acme", unreadable.clock.wallMs() + 60_000);
    expect(unreadable.doubt()).toBe("unreadable_entry");
  });

  it("tells what is revoked even when it is stale", () => {
    const { clock, state, token, provenAt } = setUp();
    state.apply(
      { kind: "user_revoked", tenant: "acme", user: "ann", epoch: 2, issuedBefore: 7 },
      clock.wallMs() + 60_000,
    );
    clock.advance(5000);
    const known = { state, freshness: { provenAt, coversFromMs: 0 } };
    expect(standingOf(token, known, momentOf(clock), limits)).toEqual({
      sessionRevoked: false,
      epoch: 2,
      issuedBefore: 7,
      doubt: "stale",
    });
  });
});
