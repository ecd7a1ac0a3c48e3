import { describe, expect, it } from "@jest/globals";
import { momentOf } from "../../../../src/runtime/clock.js";
import { LocalState } from "../../../../src/authz/follow/local-state.js";
import { revocationStatusOf } from "../../../../src/authz/follow/revocation-status.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { tokenNames } from "../../../support/token-names.js";

const limits = { maxStalenessMs: 1000, skewMs: 5000 };

function setUp(coversFromMs = 0) {
  const clock = new ManualClock();
  const state = new LocalState(10, clock);
  const provenAt = momentOf(clock);
  const token = {
    ...tokenNames("acme", "ann", "s"),
    audience: ["a"],
    epoch: 1,
    issuedAt: 1_800_000_000,
    expiresAt: 1_800_000_600,
    notBefore: undefined,
    scopes: new Set<string>(),
  };
  const uncertainty = (freshness: {
    provenAt: typeof provenAt | undefined;
    coversFromMs: number;
  }) => revocationStatusOf(token, { state, freshness }, momentOf(clock), limits).uncertainty;
  return {
    clock,
    state,
    token,
    provenAt,
    uncertainty: () => uncertainty({ provenAt, coversFromMs }),
    doubtOf: uncertainty,
  };
}

describe("a token's status", () => {
  it("is in uncertainty until the first proof of freshness", () => {
    const { doubtOf } = setUp();
    expect(doubtOf({ provenAt: undefined, coversFromMs: 0 })).toBe("stale");
  });

  it("is certain up to the staleness limit and in uncertainty beyond it", () => {
    const { clock, uncertainty } = setUp();
    clock.advance(1000);
    expect(uncertainty()).toBeUndefined();
    clock.advance(1);
    expect(uncertainty()).toBe("stale");
  });

  it("goes by whichever clock says that more time has passed", () => {
    const slept = setUp();
    slept.clock.suspend(1001);
    expect(slept.uncertainty()).toBe("stale");
    const heldBack = setUp();
    heldBack.clock.advanceMonotonic(1001);
    expect(heldBack.uncertainty()).toBe("stale");
    const setBack = setUp();
    setBack.clock.setWall(-1_000_000);
    expect(setBack.uncertainty()).toBeUndefined();
  });

  it("is in uncertainty for a token that is not younger than the log by more than the skew", () => {
    const issuedMs = 1_800_000_000_000;
    expect(setUp(issuedMs - 5000).uncertainty()).toBe("before_log");
    expect(setUp(issuedMs - 5001).uncertainty()).toBeUndefined();
  });

  it("is in uncertainty while memory is saturated or an entry cannot be read", () => {
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
    expect(saturated.uncertainty()).toBe("saturated");
    const unreadable = setUp();
    unreadable.state.markTenantUncertain("acme", unreadable.clock.wallMs() + 60_000);
    expect(unreadable.uncertainty()).toBe("unreadable_entry");
  });

  it("tells what is revoked even when it is stale", () => {
    const { clock, state, token, provenAt } = setUp();
    state.apply(
      { kind: "user_revoked", tenant: "acme", user: "ann", epoch: 2, issuedBefore: 7 },
      clock.wallMs() + 60_000,
    );
    clock.advance(5000);
    const known = { state, freshness: { provenAt, coversFromMs: 0 } };
    expect(revocationStatusOf(token, known, momentOf(clock), limits)).toMatchObject({
      sessionRevoked: false,
      epoch: 2,
      issuedBefore: 7,
      uncertainty: "stale",
    });
  });
});
