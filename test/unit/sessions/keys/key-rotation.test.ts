import { describe, expect, test } from "@jest/globals";
import {
  faultOfSchedule,
  inOrder,
  maySign,
  planRotation,
  type RotatedKey,
  type RotationSchedule,
  signingKeyAt,
  successorOf,
} from "../../../../src/sessions/keys/key-rotation.js";

const SCHEDULE: RotationSchedule = {
  rotationS: 2_592_000,
  prepublishS: 3600,
  tokenLifetimeS: 600,
  skewS: 5,
};
const ROTATION_MS = 2_592_000_000;
const PREPUBLISH_MS = 3_600_000;
/** 600 s + 2 × 5 s + a minute. */
const RETENTION_MS = 670_000;
const START_MS = 1_800_000_000_000;

function key(kid: string, signsFromMs: number, more: Partial<RotatedKey> = {}): RotatedKey {
  const signsUntilMs = signsFromMs + ROTATION_MS;
  return {
    kid,
    createdAtMs: signsFromMs,
    signsFromMs,
    signsUntilMs,
    publishedUntilMs: signsUntilMs + RETENTION_MS,
    ...more,
  };
}

const first = key("first", START_MS);
const overMs = first.signsUntilMs;
const second = key("second", overMs, { createdAtMs: overMs - PREPUBLISH_MS });
const NOTHING = { create: undefined, extend: [], remove: [] };

describe("the key that signs", () => {
  test.each([
    ["the first one a moment before its time, for want of another", START_MS - 1, "first"],
    ["the first one from its time on", START_MS, "first"],
    ["the first one until its successor's time", overMs - 1, "first"],
    ["the second one from its time on", overMs, "second"],
    ["the second one long after its time, for want of another", overMs * 2, "second"],
  ])("is %s", (_, nowMs, kid) => {
    expect(signingKeyAt([first, second], nowMs)?.kid).toBe(kid);
    expect(signingKeyAt([second, first], nowMs)?.kid).toBe(kid);
  });

  test("is none where there is none", () => {
    const none: readonly RotatedKey[] = [];
    expect(signingKeyAt(none, START_MS)).toBeUndefined();
  });

  test("is the same for everybody where two begin together", () => {
    const [a, b] = [key("a", START_MS), key("b", START_MS)];
    expect(signingKeyAt([a, b], START_MS)).toBe(b);
    expect(signingKeyAt([b, a], START_MS)).toBe(b);
  });

  test("is followed by the next one in order", () => {
    expect(inOrder([second, first])).toEqual([first, second]);
    expect(successorOf([second, first], first)).toBe(second);
    expect(successorOf([second, first], second)).toBeUndefined();
  });
});

describe("one who last saw the keys a while ago", () => {
  test.each([
    ["may sign until the key's time is over", overMs - 1, ROTATION_MS, true],
    ["may not sign from then on", overMs, PREPUBLISH_MS, false],
    [
      "may sign later if that was a moment less than the prepublication",
      overMs,
      PREPUBLISH_MS - 1,
      true,
    ],
    ["may sign long after if it was just now", overMs * 2, 0, true],
  ])("%s", (_, nowMs, seenAgeMs, allowed) => {
    expect(maySign(first, nowMs, seenAgeMs, SCHEDULE)).toBe(allowed);
  });
});

describe("a key is created", () => {
  test("to sign at once where there is none", () => {
    expect(planRotation([], START_MS, SCHEDULE)).toEqual({
      ...NOTHING,
      create: {
        createdAtMs: START_MS,
        signsFromMs: START_MS,
        signsUntilMs: START_MS + ROTATION_MS,
        publishedUntilMs: START_MS + ROTATION_MS + RETENTION_MS,
      },
    });
  });

  const lateMs = overMs + 21 * 86_400_000;
  test.each([
    ["not before it has to be published", overMs - PREPUBLISH_MS - 1, undefined],
    ["in time to be published before it signs", overMs - PREPUBLISH_MS, overMs],
    ["a little late, and signs later", overMs - PREPUBLISH_MS + 1, overMs + 1],
    ["at the end of the other's time, and signs later", overMs, overMs + PREPUBLISH_MS],
    ["weeks late, and still is published before it signs", lateMs, lateMs + PREPUBLISH_MS],
  ])("%s", (_, nowMs, signsFromMs) => {
    const { create } = planRotation([first], nowMs, SCHEDULE);
    expect(create?.signsFromMs).toBe(signsFromMs);
    expect(create?.createdAtMs).toBe(signsFromMs && nowMs);
    expect(create?.signsUntilMs).toBe(signsFromMs && signsFromMs + ROTATION_MS);
  });

  test("not twice", () => {
    for (const nowMs of [overMs - PREPUBLISH_MS, overMs - 1, overMs, overMs + 1]) {
      expect(planRotation([first, second], nowMs, SCHEDULE).create).toBeUndefined();
    }
  });

  test.each([
    ["not by one whose clock is behind", 2 * SCHEDULE.skewS * 1000, false],
    ["for one that a wrong clock has put off", 2 * SCHEDULE.skewS * 1000 + 1, true],
  ])("%s", (_, offByMs, expected) => {
    const late = key("late", overMs + PREPUBLISH_MS + offByMs);
    const { create } = planRotation([first, late], overMs, SCHEDULE);
    expect(create !== undefined).toBe(expected);
  });
});

describe("a key stays published", () => {
  test("as was planned where its successor was in time", () => {
    expect(planRotation([first], overMs - PREPUBLISH_MS, SCHEDULE).extend).toEqual([]);
  });

  test("for longer where its successor signs later than planned", () => {
    expect(planRotation([first], overMs, SCHEDULE).extend).toEqual([
      { kid: "first", publishedUntilMs: overMs + PREPUBLISH_MS + RETENTION_MS },
    ]);
  });

  test("for longer where tokens live longer than before, even if its successor is there", () => {
    const longer = { ...SCHEDULE, tokenLifetimeS: 900 };
    expect(planRotation([first, second], overMs - 1, longer).extend).toEqual([
      { kid: "first", publishedUntilMs: first.publishedUntilMs + 300_000 },
      { kid: "second", publishedUntilMs: second.publishedUntilMs + 300_000 },
    ]);
  });

  test("no longer where its time was over before tokens lived longer", () => {
    const longer = { ...SCHEDULE, tokenLifetimeS: 900 };
    const extended = planRotation([first, second], overMs, longer).extend.map(({ kid }) => kid);
    expect(extended).toEqual(["second"]);
  });

  test("until the last token that it can have signed has expired everywhere", () => {
    const until = first.publishedUntilMs;
    expect(until - overMs).toBeGreaterThan(600_000 + 2 * 5_000);
    expect(planRotation([first, second], until - 1, SCHEDULE).remove).toEqual([]);
    expect(planRotation([first, second], until, SCHEDULE).remove).toEqual(["first"]);
    expect(planRotation([first, second], until + 1, SCHEDULE).remove).toEqual(["first"]);
  });

  test("as long as it signs, however long ago it was to go", () => {
    const laterMs = first.publishedUntilMs * 2;
    expect(planRotation([first], laterMs, SCHEDULE).remove).toEqual([]);
    const successor = key("second", laterMs + 1);
    expect(planRotation([first, successor], laterMs, SCHEDULE).remove).toEqual([]);
  });
});

describe("a schedule", () => {
  test.each<[string, Partial<RotationSchedule>, boolean]>([
    ["may be the ordinary one", {}, true],
    ["may rotate as soon as the next key is published", { rotationS: 3600 }, true],
    ["may not rotate faster than that", { rotationS: 3599 }, false],
    ["may have 32 keys at once", { rotationS: 10, prepublishS: 10, tokenLifetimeS: 220 }, true],
    ["may not have more", { rotationS: 10, prepublishS: 10, tokenLifetimeS: 221 }, false],
    ["may have no skew", { skewS: 0 }, true],
    ["may not have a negative one", { skewS: -1 }, false],
    ["may not publish a key when it signs", { prepublishS: 0 }, false],
    ["may not have tokens without a lifetime", { tokenLifetimeS: 0 }, false],
    ["may not be what is no number", { rotationS: Number.NaN }, false],
  ])("%s", (_, changed, possible) => {
    expect(faultOfSchedule({ ...SCHEDULE, ...changed }) === undefined).toBe(possible);
  });
});
