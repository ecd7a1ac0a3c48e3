/** The local state against what it promises, told by a list: whatever happens in whatever order. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import {
  LocalState,
  NO_ENTRIES,
  type EntryKind,
} from "../../../../src/authz/follow/local-state.js";
import type { Revocation } from "../../../../src/revocation-log/entry.js";
import { momentOf } from "../../../../src/runtime/clock.js";
import { deadlineAt, hasPassed, laterOf, type Deadline } from "../../../../src/runtime/deadline.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { tokenNames } from "../../../support/token-names.js";

/** As many as `forgetPassed` looks at. */
const FORGET_BATCH = 256;

interface Held {
  readonly kind: EntryKind;
  readonly name: string;
  readonly epoch: number;
  readonly issuedBefore: number;
  readonly forgetAt: Deadline;
}

class Model {
  /** The oldest first. */
  held: readonly Held[] = [];
  saturatedUntil: Deadline | undefined;
  readonly #max: number;
  readonly #clock: ManualClock;

  constructor(max: number, clock: ManualClock) {
    this.#max = max;
    this.#clock = clock;
  }

  hold(kind: EntryKind, name: string, forgetAtMs: number, epoch = 0, issuedBefore = 0): void {
    const known = this.find(kind, name);
    const forgetAt = deadlineAt(forgetAtMs, momentOf(this.#clock));
    const others = this.held.filter((one) => one !== known);
    const evicted = others.slice(0, Math.max(0, others.length + 1 - this.#max));
    for (const one of evicted) {
      if (this.#passed(one.forgetAt)) continue;
      this.saturatedUntil = laterOf(this.saturatedUntil, one.forgetAt);
    }
    const merged = {
      kind,
      name,
      epoch: Math.max(epoch, known?.epoch ?? 0),
      issuedBefore: Math.max(issuedBefore, known?.issuedBefore ?? 0),
      forgetAt: laterOf(known?.forgetAt, forgetAt),
    };
    this.held = [...others.slice(evicted.length), merged];
  }

  forget(): void {
    const live = this.held.findIndex((one) => !this.#passed(one.forgetAt));
    this.held = this.held.slice(Math.min(live === -1 ? this.held.length : live, FORGET_BATCH));
  }

  find(kind: EntryKind, name: string): Held | undefined {
    return this.held.find((one) => one.kind === kind && one.name === name);
  }

  get saturated(): boolean {
    return this.saturatedUntil !== undefined && !this.#passed(this.saturatedUntil);
  }

  uncertainty(tenant: string): string | undefined {
    const unreadable = this.find("tenant", tenant);
    if (unreadable !== undefined && !this.#passed(unreadable.forgetAt)) return "unreadable_entry";
    return this.saturated ? "saturated" : undefined;
  }

  get counts(): Readonly<Record<EntryKind, number>> {
    const counts = { ...NO_ENTRIES };
    for (const { kind } of this.held) counts[kind] += 1;
    return counts;
  }

  #passed(deadline: Deadline): boolean {
    return hasPassed(deadline, momentOf(this.#clock));
  }
}

const IDS = ["a", "b", "c", "ä", "\u{1f512}"];
const id = fc.constantFrom(...IDS);
const tenant = fc.constantFrom("t", "u");
const number = fc.nat(9);
const ISSUER = "https://issuer.example";

const revocation: fc.Arbitrary<Revocation> = fc.oneof(
  fc.record({
    kind: fc.constant("session_revoked" as const),
    tenant,
    session: id,
    user: fc.constant(undefined),
  }),
  fc.record({
    kind: fc.constant("user_revoked" as const),
    tenant,
    user: id,
    epoch: number,
    issuedBefore: number,
  }),
  fc.record({
    kind: fc.constant("token_revoked" as const),
    tenant,
    issuer: fc.constant(ISSUER),
    jti: id,
    signedDigest: fc.option(id, { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant("client_revoked" as const),
    tenant: fc.option(tenant, { nil: undefined }),
    client: id,
    issuedBefore: number,
  }),
  fc.record({
    kind: fc.constant("key_revoked" as const),
    issuer: fc.constant(ISSUER),
    thumbprint: id,
  }),
  fc.record({ kind: fc.constant("tenant_revoked" as const), tenant, issuedBefore: number }),
);

function holdInModel(model: Model, one: Revocation, forgetAtMs: number): void {
  switch (one.kind) {
    case "session_revoked": {
      model.hold("session", `${one.tenant} ${one.session}`, forgetAtMs);
      return;
    }
    case "user_revoked": {
      model.hold("user", `${one.tenant} ${one.user}`, forgetAtMs, one.epoch, one.issuedBefore);
      return;
    }
    case "token_revoked":
      model.hold("token", `${one.tenant} jti ${one.jti ?? ""}`, forgetAtMs);
      if (one.signedDigest === undefined) return;
      {
        model.hold("token", `${one.tenant} digest ${one.signedDigest}`, forgetAtMs);
        return;
      }
    case "client_revoked": {
      model.hold("client", `${one.tenant ?? "all"} ${one.client}`, forgetAtMs, 0, one.issuedBefore);
      return;
    }
    case "key_revoked": {
      model.hold("key", one.thumbprint, forgetAtMs);
      return;
    }
    case "tenant_revoked": {
      model.hold("tenant_cutoff", one.tenant, forgetAtMs, 0, one.issuedBefore);
      return;
    }
    case "all_revoked":
      throw new Error("takes no place");
  }
}

function knownIn(model: Model, inTenant: string, one: string) {
  const user = model.find("user", `${inTenant} ${one}`);
  const isToken = (name: string) => model.find("token", `${inTenant} ${name}`) !== undefined;
  const cutOff = (kind: EntryKind, name: string) => model.find(kind, name)?.issuedBefore ?? 0;
  return {
    sessionRevoked: model.find("session", `${inTenant} ${one}`) !== undefined,
    epoch: user?.epoch ?? 0,
    issuedBefore: user?.issuedBefore ?? 0,
    tokenRevoked: isToken(`jti ${one}`) || isToken(`digest ${one}`),
    clientIssuedBefore: Math.max(
      cutOff("client", `${inTenant} ${one}`),
      cutOff("client", `all ${one}`),
    ),
    keyRevoked: model.find("key", one) !== undefined,
    tenantIssuedBefore: cutOff("tenant_cutoff", inTenant),
    allIssuedBefore: 0,
    uncertainty: model.uncertainty(inTenant),
  };
}

const ms = fc.nat(3000);
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant("apply" as const), revocation, ms }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("uncertain" as const), tenant, ms }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("forget" as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("pass by one clock" as const), ms }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("set wall" as const), ms }) },
  ),
  { maxLength: 80 },
);

describe("the local state", () => {
  it("knows what a list of everything applied says, whatever happens", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), steps, (max, all) => {
        const clock = new ManualClock();
        const state = new LocalState(max, clock);
        const model = new Model(max, clock);
        for (const one of all) {
          if (one.do === "apply") {
            const forgetAtMs = clock.wallMs() + one.ms;
            state.apply(one.revocation, forgetAtMs);
            holdInModel(model, one.revocation, forgetAtMs);
          } else if (one.do === "uncertain") {
            state.markTenantUncertain(one.tenant, clock.wallMs() + one.ms);
            model.hold("tenant", one.tenant, clock.wallMs() + one.ms);
          } else if (one.do === "forget") {
            state.forgetPassed();
            model.forget();
          } else if (one.do === "pass") clock.advance(one.ms);
          else if (one.do === "pass by one clock") clock.advanceMonotonic(one.ms);
          else clock.setWall(one.ms - 1500);
          expect(state.counts).toEqual(model.counts);
          expect(state.saturated).toBe(model.saturated);
        }
        for (const inTenant of ["t", "u"]) {
          for (const one of IDS) {
            const names = {
              issuer: ISSUER,
              jti: one,
              client: one,
              signedDigest: one,
              keyThumbprint: one,
            };
            const known = state.lookUp(tokenNames(inTenant, one, one, names));
            expect(known).toEqual(knownIn(model, inTenant, one));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
