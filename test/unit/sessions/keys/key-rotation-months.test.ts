/**
 * Months of rotation with instances that come, go, lose the database and have clocks of their own,
 * in a moment: what must hold whatever happens.
 */
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  maySign,
  planRotation,
  type RotatedKey,
  type RotationSchedule,
  signingKeyAt,
} from "../../../../src/sessions/keys/key-rotation.js";

interface Instance {
  /** Against the true time: no two differ by more than the skew. */
  readonly clockOffByMs: number;
  seen: readonly RotatedKey[];
  seenAtMs: number;
}

interface LivingToken {
  readonly kid: string;
  /** In true time, on the slowest verifier's clock and with the skew that it grants. */
  readonly deadAtMs: number;
}

interface Event {
  readonly afterMs: number;
  readonly instance: number;
  readonly act: "reload" | "sign" | "reload_and_sign";
}

/** In place of `expect`, which would take most of the time here. */
function demand(holds: boolean, what: string): void {
  if (!holds) throw new Error(`it does not hold that ${what}`);
}

class World {
  readonly #schedule: RotationSchedule;
  readonly #instances: readonly Instance[];
  readonly #createdAtMs = new Map<string, number>();
  #firstKid: string | undefined;
  #rows: readonly RotatedKey[] = [];
  #tokens: LivingToken[] = [];
  #nowMs = 1_800_000_000_000;
  readonly signers = new Set<string>();
  refusals = 0;

  constructor(schedule: RotationSchedule, clocksOffByMs: readonly number[]) {
    this.#schedule = schedule;
    this.#instances = clocksOffByMs.map((clockOffByMs) => {
      return { clockOffByMs, seen: [], seenAtMs: 0 };
    });
  }

  happens({ afterMs, instance: index, act }: Event): void {
    this.#nowMs += afterMs;
    const instance = this.#instances[index % this.#instances.length];
    if (instance === undefined) throw new Error("there is no instance");
    if (act !== "sign") this.#reload(instance);
    if (act !== "reload") this.#sign(instance, act === "reload_and_sign");
    this.#expectLivingTokensVerify();
  }

  #reload(instance: Instance): void {
    const { create, extend, remove } = planRotation(
      this.#rows,
      this.#nowMs + instance.clockOffByMs,
      this.#schedule,
    );
    const kept = this.#rows
      .filter(({ kid }) => !remove.includes(kid))
      .map((row) => ({ ...row, ...extend.find(({ kid }) => kid === row.kid) }));
    const kid = `key-${this.#createdAtMs.size}`;
    if (create !== undefined) {
      this.#createdAtMs.set(kid, this.#nowMs);
      this.#firstKid ??= kid;
    }
    this.#rows = create === undefined ? kept : [...kept, { kid, ...create }];
    demand(this.#rows.length <= 32, "there are no more keys than nodes accept");
    instance.seen = this.#rows;
    instance.seenAtMs = this.#nowMs;
  }

  #sign(instance: Instance, mustBeAble: boolean): void {
    const localMs = this.#nowMs + instance.clockOffByMs;
    const key = signingKeyAt(instance.seen, localMs);
    const seenAgeMs = this.#nowMs - instance.seenAtMs;
    const able = key !== undefined && maySign(key, localMs, seenAgeMs, this.#schedule);
    demand(able || !mustBeAble, "there is a key right after the keys were seen");
    if (!able) {
      this.refusals += 1;
      return;
    }
    const { prepublishS, tokenLifetimeS, skewS } = this.#schedule;
    if (key.kid !== this.#firstKid) {
      const publishedForMs = this.#nowMs - (this.#createdAtMs.get(key.kid) ?? Infinity);
      // The clocks of who created it and who signs with it may differ.
      const longEnough = publishedForMs >= (prepublishS - skewS) * 1000;
      demand(longEnough, "a key is published before it signs");
    }
    const behindMs = Math.min(...this.#instances.map(({ clockOffByMs }) => clockOffByMs));
    const deadAtMs = localMs + (tokenLifetimeS + skewS) * 1000 - behindMs;
    this.#tokens.push({ kid: key.kid, deadAtMs });
    this.signers.add(key.kid);
  }

  #expectLivingTokensVerify(): void {
    this.#tokens = this.#tokens.filter(({ deadAtMs }) => deadAtMs > this.#nowMs);
    const published = new Set(this.#rows.map(({ kid }) => kid));
    const verify = this.#tokens.every(({ kid }) => published.has(kid));
    demand(verify, "the key of every living token is published");
  }
}

const SKEW_S = 5;
const SCHEDULES = fc.constantFrom<RotationSchedule>(
  { rotationS: 2_592_000, prepublishS: 3600, tokenLifetimeS: 600, skewS: SKEW_S },
  { rotationS: 86_400, prepublishS: 3600, tokenLifetimeS: 3600, skewS: SKEW_S },
  { rotationS: 1800, prepublishS: 900, tokenLifetimeS: 7200, skewS: SKEW_S },
);

/** Mostly minutes, as an ordinary day has it; sometimes hours, and sometimes weeks of nothing. */
const AFTER_MS = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 120_000 }) },
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 3_700_000 }) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 90_000_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 2_700_000_000 }) },
);
const EVENTS = fc.array(
  fc.record<Event>({
    afterMs: AFTER_MS,
    instance: fc.nat(3),
    act: fc.constantFrom("reload", "sign", "reload_and_sign"),
  }),
  { minLength: 50, maxLength: 400, size: "max" },
);
const CLOCKS = fc.array(fc.integer({ min: 0, max: SKEW_S * 1000 }), { minLength: 1, maxLength: 3 });

describe("through months of downtime at random", () => {
  test("every token verifies for all its life, and no key signs before it was published", () => {
    let [signers, refusals] = [0, 0];
    fc.assert(
      fc.property(SCHEDULES, CLOCKS, EVENTS, (schedule, clocks, events) => {
        const world = new World(schedule, clocks);
        for (const event of events) world.happens(event);
        signers += world.signers.size;
        refusals += world.refusals;
      }),
      { numRuns: 200 },
    );
    // What was to be tried out did happen.
    expect(signers).toBeGreaterThan(1000);
    expect(refusals).toBeGreaterThan(100);
  });

  test("a quiet year takes one key a month", () => {
    const schedule = { rotationS: 2_592_000, prepublishS: 3600, tokenLifetimeS: 600, skewS: 5 };
    const world = new World(schedule, [0]);
    const tenMinutes = { afterMs: 600_000, instance: 0, act: "reload_and_sign" } as const;
    for (let passed = 0; passed < 360 * 24 * 6; passed += 1) world.happens(tenMinutes);
    expect(world.signers.size).toBe(12);
  });
});
