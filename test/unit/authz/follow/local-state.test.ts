import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { LocalState, NO_ENTRIES } from "../../../../src/authz/follow/local-state.js";
import type { Revocation } from "../../../../src/revocation-log/entry.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { tokenNames } from "../../../support/token-names.js";

const HOUR_MS = 3_600_000;

function fresh(maxEntries = 100) {
  const clock = new ManualClock();
  return {
    clock,
    state: new LocalState(maxEntries, clock),
    inMs: (ms: number) => clock.wallMs() + ms,
  };
}
const session = (id: string, tenant = "acme") =>
  ({ kind: "session_revoked", tenant, session: id, user: undefined }) as const;
const user = (id: string, epoch?: number, issuedBefore?: number, tenant = "acme") =>
  ({ kind: "user_revoked", tenant, user: id, epoch, issuedBefore }) as const;

const NOTHING = {
  sessionRevoked: false,
  epoch: 0,
  issuedBefore: 0,
  tokenRevoked: false,
  clientIssuedBefore: 0,
  keyRevoked: false,
  tenantIssuedBefore: 0,
  allIssuedBefore: 0,
  uncertainty: undefined,
};

describe("what a node knows to be revoked", () => {
  it("knows nothing at first, and that nothing is revoked", () => {
    const { state } = fresh();
    expect(state.lookUp(tokenNames("acme", "ann", "s"))).toEqual(NOTHING);
  });

  it("keeps tenants, users and sessions apart, whatever their ids contain", () => {
    const { state, inMs } = fresh();
    state.apply(session("b:c", "a"), inMs(HOUR_MS));
    state.apply(user("c", 5, undefined, "a:b"), inMs(HOUR_MS));
    expect(state.lookUp(tokenNames("a", "x", "b:c")).sessionRevoked).toBe(true);
    expect(state.lookUp(tokenNames("a:b", "x", "c")).sessionRevoked).toBe(false);
    expect(state.lookUp(tokenNames("a", "b:c", "x")).epoch).toBe(0);
    expect(state.lookUp(tokenNames("a:b", "c", "x")).epoch).toBe(5);
  });

  it("merges by the greater value, in any order and any number of times", () => {
    const entries = [
      user("ann", 4),
      user("ann", 9),
      user("ann", undefined, 70),
      user("ann", 2, 50),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray([...entries, ...entries], { minLength: 8 }), (order) => {
        const { state, inMs } = fresh();
        for (const entry of order) state.apply(entry, inMs(HOUR_MS));
        expect(state.lookUp(tokenNames("acme", "ann", "s"))).toMatchObject({
          epoch: 9,
          issuedBefore: 70,
        });
        expect(state.counts).toEqual({ ...NO_ENTRIES, user: 1 });
      }),
    );
  });

  it("forgets at forget_at, not a millisecond before", () => {
    const { state, clock, inMs } = fresh();
    state.apply(session("s"), inMs(1000));
    clock.advance(999);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(true);
    clock.advance(1);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(false);
    expect(state.counts.session).toBe(0);
  });

  it("does not forget because the wall clock was set forth", () => {
    const { state, clock, inMs } = fresh();
    state.apply(session("s"), inMs(1000));
    clock.setWall(HOUR_MS);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(true);
  });

  it("does not forget because only the monotonic clock went on", () => {
    const { state, clock, inMs } = fresh();
    state.apply(session("s"), inMs(1000));
    clock.advanceMonotonic(HOUR_MS);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(true);
  });

  it("keeps an entry as long as its latest revocation says", () => {
    const { state, clock, inMs } = fresh();
    state.apply(session("s"), inMs(5000));
    state.apply(session("s"), inMs(1000));
    clock.advance(4999);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(true);
  });

  it("is saturated from the eviction of a live entry until its forget_at", () => {
    const { state, clock, inMs } = fresh(2);
    state.apply(session("a"), inMs(1000));
    state.apply(session("b"), inMs(2000));
    expect(state.saturated).toBe(false);
    state.apply(session("c"), inMs(3000));
    expect(state.saturated).toBe(true);
    expect(state.lookUp(tokenNames("acme", "u", "a"))).toMatchObject({ uncertainty: "saturated" });
    expect(state.lookUp(tokenNames("acme", "u", "b")).sessionRevoked).toBe(true);
    expect(state.counts.session).toBe(2);
    clock.advance(999);
    expect(state.saturated).toBe(true);
    clock.advance(1);
    expect(state.saturated).toBe(false);
    expect(state.lookUp(tokenNames("acme", "u", "x")).uncertainty).toBeUndefined();
  });

  it("is not saturated by the eviction of an entry that no longer matters", () => {
    const { state, clock, inMs } = fresh(1);
    state.apply(session("a"), inMs(1000));
    clock.advance(1000);
    state.apply(session("b"), inMs(1000));
    expect(state.saturated).toBe(false);
  });

  it("does not count a look as a use: what is oldest goes first", () => {
    const { state, inMs } = fresh(2);
    state.apply(session("a"), inMs(1000));
    state.apply(session("b"), inMs(2000));
    state.lookUp(tokenNames("acme", "u", "a"));
    state.apply(session("c"), inMs(3000));
    expect(state.lookUp(tokenNames("acme", "u", "a")).sessionRevoked).toBe(false);
    expect(state.lookUp(tokenNames("acme", "u", "b")).sessionRevoked).toBe(true);
  });

  it("does not count a look at a user as a use either", () => {
    const { state, inMs } = fresh(2);
    state.apply(user("a", 1), inMs(1000));
    state.apply(user("b", 1), inMs(2000));
    state.lookUp(tokenNames("acme", "a", "s"));
    state.apply(user("c", 1), inMs(3000));
    expect(state.lookUp(tokenNames("acme", "a", "s")).epoch).toBe(0);
    expect(state.lookUp(tokenNames("acme", "b", "s")).epoch).toBe(1);
  });

  it("keeps the later deadline on each clock when an entry comes again", () => {
    const { state, clock, inMs } = fresh();
    const forgetAtMs = inMs(5000);
    state.apply(session("s"), forgetAtMs);
    clock.setWall(4000);
    state.apply(session("s"), forgetAtMs);
    clock.advance(1000);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(true);
    clock.advance(4000);
    state.forgetPassed();
    expect(state.lookUp(tokenNames("acme", "u", "s")).sessionRevoked).toBe(false);
  });

  it("uncertainties one tenant until the entry's end, and nobody else", () => {
    const { state, clock, inMs } = fresh();
    state.markTenantUncertain("acme", inMs(1000));
    expect(state.lookUp(tokenNames("acme", "u", "s")).uncertainty).toBe("unreadable_entry");
    expect(state.lookUp(tokenNames("globex", "u", "s")).uncertainty).toBeUndefined();
    clock.advance(1000);
    expect(state.lookUp(tokenNames("acme", "u", "s")).uncertainty).toBeUndefined();
  });

  it("uncertainties everyone until the horizon has passed an entry that could be anyone's", () => {
    const { state, clock, inMs } = fresh();
    state.markAllUncertain(inMs(1000));
    state.markAllUncertain(inMs(500));
    clock.advance(999);
    expect(state.lookUp(tokenNames("globex", "u", "s")).uncertainty).toBe("unreadable_entry");
    clock.advance(1);
    expect(state.lookUp(tokenNames("globex", "u", "s")).uncertainty).toBeUndefined();
  });

  it("never answers a revoked key with a certain no before its forget_at", () => {
    const ids = ["a", "b", "c", "d", "e"];
    const step = fc.oneof(
      fc.record({
        do: fc.constant("session" as const),
        id: fc.constantFrom(...ids),
        ms: fc.nat(5000),
      }),
      fc.record({
        do: fc.constant("user" as const),
        id: fc.constantFrom(...ids),
        ms: fc.nat(5000),
      }),
      fc.record({ do: fc.constant("pass" as const), id: fc.constant(""), ms: fc.nat(2000) }),
      fc.record({ do: fc.constant("forget" as const), id: fc.constant(""), ms: fc.constant(0) }),
      fc.record({
        do: fc.constant("uncertainty" as const),
        id: fc.constantFrom(...ids),
        ms: fc.nat(5000),
      }),
      fc.record({
        do: fc.constant("look" as const),
        id: fc.constantFrom(...ids),
        ms: fc.constant(0),
      }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(step, { maxLength: 60 }),
        (max, steps) => {
          const { state, clock, inMs } = fresh(max);
          const until = new Map<string, number>();
          const remember = (key: string, ms: number) =>
            until.set(key, Math.max(until.get(key) ?? 0, inMs(ms)));
          for (const one of steps) {
            if (one.do === "session") state.apply(session(one.id), inMs(one.ms));
            if (one.do === "user") state.apply(user(one.id, 1), inMs(one.ms));
            if (one.do === "uncertainty") state.markTenantUncertain("acme", inMs(one.ms));
            if (one.do === "session" || one.do === "user") remember(`${one.do} ${one.id}`, one.ms);
            if (one.do === "pass") clock.advance(one.ms);
            if (one.do === "forget") state.forgetPassed();
            for (const id of ids) {
              const known = state.lookUp(tokenNames("acme", id, id));
              const alive = (key: string) => (until.get(key) ?? 0) > clock.wallMs();
              const certain = known.uncertainty === undefined;
              if (alive(`session ${id}`)) expect(known.sessionRevoked || !certain).toBe(true);
              if (alive(`user ${id}`)) expect(known.epoch >= 1 || !certain).toBe(true);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("a revocation of more or less than a user", () => {
  const ISSUER = "https://issuer.example";
  const DIGEST = "d".repeat(43);
  const names = (parts: Parameters<typeof tokenNames>[3] = {}, tenant = "acme") =>
    tokenNames(tenant, "ann", "s", { jti: "j-1", client: "shop", ...parts });
  const token = (parts: { jti?: string; signedDigest?: string; tenant?: string }) =>
    ({
      kind: "token_revoked",
      tenant: "acme",
      issuer: ISSUER,
      jti: undefined,
      signedDigest: undefined,
      ...parts,
    }) as const;
  const client = (tenant: string | undefined, issuedBefore: number) =>
    ({ kind: "client_revoked", tenant, client: "shop", issuedBefore }) as const;
  const afterwards = (revocation: Revocation) => {
    const { state, inMs } = fresh();
    state.apply(revocation, inMs(HOUR_MS));
    return state;
  };

  it.each([
    ["its jti", token({ jti: "j-1", signedDigest: "x".repeat(43) }), {}],
    ["what was signed, whatever its jti", token({ jti: "x", signedDigest: DIGEST }), {}],
    ["what was signed, without a jti", token({ signedDigest: DIGEST }), { jti: undefined }],
  ])("knows a token by %s", (_by, revocation, parts) => {
    const state = afterwards(revocation);
    expect(state.lookUp(names(parts))).toEqual({ ...NOTHING, tokenRevoked: true });
  });

  it.each([
    ["another token", names({ jti: "j-2", signedDigest: "e".repeat(43) })],
    ["the same jti of another issuer", names({ issuer: "https://b.example", signedDigest: "e" })],
    ["the same jti of another tenant", names({}, "globex")],
    ["a token without jti", names({ jti: undefined, signedDigest: "e" })],
  ])("takes %s for another token", (_what, other) => {
    const state = afterwards(token({ jti: "j-1", signedDigest: DIGEST }));
    expect(state.lookUp(other)).toEqual(NOTHING);
  });

  it("applies a client's cut-off to its tenant, or to all, by the later one", () => {
    const { state, inMs } = fresh();
    state.apply(client("acme", 70), inMs(HOUR_MS));
    expect(state.lookUp(names()).clientIssuedBefore).toBe(70);
    expect(state.lookUp(names({}, "globex")).clientIssuedBefore).toBe(0);
    expect(state.lookUp(names({ client: undefined })).clientIssuedBefore).toBe(0);
    expect(state.lookUp(names({ client: "other" })).clientIssuedBefore).toBe(0);
    state.apply(client(undefined, 50), inMs(HOUR_MS));
    expect(state.lookUp(names()).clientIssuedBefore).toBe(70);
    expect(state.lookUp(names({}, "globex")).clientIssuedBefore).toBe(50);
    state.apply(client(undefined, 90), inMs(HOUR_MS));
    expect(state.lookUp(names()).clientIssuedBefore).toBe(90);
  });

  it("knows a key by issuer and thumbprint together", () => {
    const thumbprint = "k".repeat(43);
    const state = afterwards({ kind: "key_revoked", issuer: ISSUER, thumbprint });
    expect(state.lookUp(names())).toEqual({ ...NOTHING, keyRevoked: true });
    expect(state.lookUp(names({ keyThumbprint: "l".repeat(43) })).keyRevoked).toBe(false);
    expect(state.lookUp(names({ issuer: "https://b.example" })).keyRevoked).toBe(false);
  });

  it("keeps the greatest cut-off of a tenant, and of everything", () => {
    const { state, inMs } = fresh();
    for (const issuedBefore of [50, 70, 60]) {
      state.apply({ kind: "tenant_revoked", tenant: "acme", issuedBefore }, inMs(HOUR_MS));
      state.apply({ kind: "all_revoked", issuedBefore: issuedBefore + 1 }, inMs(HOUR_MS));
    }
    const all = { ...NOTHING, allIssuedBefore: 71 };
    expect(state.lookUp(names())).toEqual({ ...all, tenantIssuedBefore: 70 });
    expect(state.lookUp(names({}, "globex"))).toEqual(all);
  });

  it("forgets each of them when its time has passed, and not before", () => {
    const { state, clock, inMs } = fresh();
    const each: readonly Revocation[] = [
      token({ jti: "j-1", signedDigest: DIGEST }),
      client("acme", 70),
      { kind: "key_revoked", issuer: ISSUER, thumbprint: "k".repeat(43) },
      { kind: "tenant_revoked", tenant: "acme", issuedBefore: 70 },
      { kind: "all_revoked", issuedBefore: 70 },
    ];
    for (const one of each) state.apply(one, inMs(1000));
    expect(state.counts).toEqual({ ...NO_ENTRIES, token: 2, client: 1, key: 1, tenant_cutoff: 1 });
    const known = state.lookUp(names());
    clock.advance(999);
    state.forgetPassed();
    expect(state.lookUp(names())).toEqual(known);
    clock.advance(1);
    state.forgetPassed();
    expect(state.lookUp(names())).toEqual(NOTHING);
    expect(state.counts).toEqual(NO_ENTRIES);
  });

  it("leaves the node saturated where one of them is evicted, but for the cut-off of everything", () => {
    const { state, inMs } = fresh(1);
    state.apply({ kind: "all_revoked", issuedBefore: 70 }, inMs(HOUR_MS));
    state.apply({ kind: "tenant_revoked", tenant: "acme", issuedBefore: 70 }, inMs(HOUR_MS));
    expect(state.lookUp(names()).uncertainty).toBeUndefined();
    state.apply(client("globex", 70), inMs(HOUR_MS));
    const known = state.lookUp(names());
    expect(known).toEqual({ ...NOTHING, allIssuedBefore: 70, uncertainty: "saturated" });
  });
});
