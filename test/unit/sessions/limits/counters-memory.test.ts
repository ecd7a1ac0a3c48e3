import { describe, expect, it } from "@jest/globals";
import { MemoryCounters } from "../../../../src/sessions/limits/counters-memory.js";
import type { Count } from "../../../../src/sessions/limits/counters.js";
import { MemoryLoginLimits } from "../../../support/login-limits-memory.js";
import {
  DEFAULT_LIMITS,
  type LimitSettings,
} from "../../../../src/sessions/limits/login-limits.js";
import { ManualClock } from "../../../support/manual-clock.js";

const WITHIN = { within: true };
const freeIn = (freeInMs: number): Count => ({ within: false, freeInMs });

function countersOf(change: Partial<LimitSettings>, keysMax?: number) {
  const clock = new ManualClock();
  const settings = { ...DEFAULT_LIMITS, ...change };
  return { clock, counters: new MemoryCounters(settings, clock, keysMax) };
}

describe("counting attempts in the process", () => {
  const account = { max: 2, windowS: 60 };

  it("begins anew exactly when the window of the first attempt ends", async () => {
    const { clock, counters } = countersOf({ account });
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
    clock.advance(10_000);
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
    expect(await counters.spend("account", "a")).toEqual(freeIn(50_000));
    clock.advance(49_999);
    expect(await counters.spend("account", "a")).toEqual(freeIn(1));
    clock.advance(1);
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
  });

  it("is not misled by a wall clock that is set", async () => {
    const { clock, counters } = countersOf({ account: { max: 1, windowS: 60 } });
    await counters.spend("account", "a");
    clock.setWall(3_600_000);
    expect(await counters.spend("account", "a")).toEqual(freeIn(60_000));
  });

  it("never takes back more than was counted", async () => {
    const { counters } = countersOf({ account });
    await counters.giveBack("account", "a");
    for (let i = 0; i < 5; i++) await counters.giveBack("account", "a");
    await counters.spend("account", "a");
    for (let i = 0; i < 5; i++) await counters.giveBack("account", "a");
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
    expect(await counters.spend("account", "a")).toEqual(freeIn(60_000));
  });

  it("refuses newcomers while it remembers as many as it may, and nobody else", async () => {
    const { clock, counters } = countersOf({ account }, 2);
    await counters.spend("account", "a");
    clock.advance(1000);
    await counters.spend("account", "b");
    expect(await counters.spend("account", "c")).toEqual(freeIn(59_000));
    expect(await counters.spend("account", "a")).toEqual(WITHIN);
    expect(await counters.spend("address", "c")).toEqual(WITHIN);
    clock.advance(59_000);
    expect(await counters.spend("account", "c")).toEqual(WITHIN);
    expect(await counters.spend("account", "d")).toEqual(freeIn(1000));
  });
});

describe("counting acts in the process", () => {
  it.each(["user_act", "admin_act"] as const)(
    "admits a new key of %s uncounted while it remembers as many as it may",
    async (limit) => {
      const { clock, counters } = countersOf({ [limit]: { max: 1, windowS: 60 } }, 2);
      for (const key of ["a", "b"]) expect(await counters.spend(limit, key)).toEqual(WITHIN);
      for (let i = 0; i < 3; i++) expect(await counters.spend(limit, "c")).toEqual(WITHIN);
      expect(await counters.spend(limit, "a")).toEqual(freeIn(60_000));
      clock.advance(60_000);
      expect(await counters.spend(limit, "c")).toEqual(WITHIN);
      expect(await counters.spend(limit, "c")).toEqual(freeIn(60_000));
    },
  );

  it.each([
    ["user_act", 60],
    ["admin_act", 600],
  ] as const)("of %s ends after %d in a minute", async (limit, max) => {
    const { clock, counters } = countersOf({});
    for (let i = 0; i < max; i++) expect(await counters.spend(limit, "a")).toEqual(WITHIN);
    expect(await counters.spend(limit, "a")).toEqual(freeIn(60_000));
    clock.advance(60_000);
    expect(await counters.spend(limit, "a")).toEqual(WITHIN);
  });
});

describe("counting distinct accounts in the process", () => {
  const spread = { max: 2, windowS: 600 };

  it("forgets an account exactly one window after it was last tried", async () => {
    const { clock, counters } = countersOf({ spread });
    await counters.occupy("x", "a");
    clock.advance(100_000);
    await counters.occupy("x", "b");
    clock.advance(100_000);
    await counters.occupy("x", "a");
    expect(await counters.occupy("x", "c")).toEqual(freeIn(500_000));
    clock.advance(499_999);
    expect(await counters.occupy("x", "c")).toEqual(freeIn(1));
    clock.advance(1);
    expect(await counters.occupy("x", "c")).toEqual(WITHIN);
    expect(await counters.occupy("x", "b")).toEqual(freeIn(100_000));
  });

  it("refuses newcomers while it remembers as many pairs as it may", async () => {
    const { clock, counters } = countersOf({ spread }, 3);
    await counters.occupy("x", "a");
    await counters.occupy("x", "b");
    clock.advance(1000);
    await counters.occupy("y", "a");
    expect(await counters.occupy("z", "a")).toEqual(freeIn(600_000));
    expect(await counters.occupy("y", "b")).toEqual(freeIn(600_000));
    expect(await counters.occupy("x", "a")).toEqual(WITHIN);
    await counters.vacate("x", "b");
    await counters.vacate("x", "b");
    expect(await counters.occupy("z", "a")).toEqual(WITHIN);
    expect(await counters.occupy("z", "b")).toMatchObject({ within: false });
    clock.advance(600_000);
    for (const account of ["a", "b"]) {
      expect(await counters.occupy("new", account)).toEqual(WITHIN);
    }
    expect(await counters.occupy("newer", "a")).toEqual(WITHIN);
    expect(await counters.occupy("newest", "a")).toMatchObject({ within: false });
  });
});

describe("limits in the process", () => {
  it("tell whole seconds to wait, rounded up", async () => {
    const clock = new ManualClock();
    const refresh = { max: 1, windowS: 3 };
    const limits = new MemoryLoginLimits({ ...DEFAULT_LIMITS, refresh }, clock);
    const from = { address: "192.0.2.1" };
    expect(await limits.admitRefresh(from)).toEqual({ admitted: true });
    const waits = [];
    for (const passed of [0, 1, 999, 1, 1998]) {
      clock.advance(passed);
      waits.push(await limits.admitRefresh(from));
    }
    expect(waits.map((one) => (one.admitted ? 0 : one.retryAfterS))).toEqual([3, 3, 2, 2, 1]);
    clock.advance(1);
    expect(await limits.admitRefresh(from)).toEqual({ admitted: true });
    limits.close();
  });

  it.each([
    { account: { max: 0, windowS: 60 } },
    { address: { max: 1.5, windowS: 60 } },
    { spread: { max: 1, windowS: 0 } },
    { refresh: { max: 1, windowS: 86_401 } },
    { refresh: { max: 100_001, windowS: 60 } },
    { user_act: { max: 0, windowS: 60 } },
    { admin_act: { max: 100_001, windowS: 60 } },
  ])("cannot be made of %j", (change) => {
    const settings = { ...DEFAULT_LIMITS, ...change };
    expect(() => new MemoryLoginLimits(settings, new ManualClock())).toThrow(RangeError);
  });
});
