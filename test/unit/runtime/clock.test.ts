import { describe, expect, test } from "@jest/globals";
import { elapsedAtLeastMs, momentOf, systemClock } from "../../../src/runtime/clock.js";
import { deadlineAt, hasPassed, laterOf } from "../../../src/runtime/deadline.js";
import { ManualClock } from "../../support/manual-clock.js";

const at = (wallMs: number, monotonicMs: number) => ({ wallMs, monotonicMs });

describe("the time between two moments", () => {
  test.each([
    [at(10, 20), 20],
    [at(30, 15), 30],
    [at(-5, 3), 3],
    [at(3, -5), 3],
    [at(0, 0), 0],
  ])("from the first to %j is at least %i ms", (end, expected) => {
    expect(elapsedAtLeastMs(at(0, 0), end)).toBe(expected);
  });

  test("is what the clock that says more has counted", () => {
    expect(elapsedAtLeastMs(at(100, 7), at(150, 17))).toBe(50);
    expect(elapsedAtLeastMs(at(100, 7), at(105, 77))).toBe(70);
  });
});

describe("a deadline", () => {
  const deadline = deadlineAt(1100, at(1000, 50));

  test("lies as far ahead on the monotonic clock as on the wall", () => {
    expect(deadline).toEqual(at(1100, 150));
  });

  test.each([
    [at(1099, 150), false],
    [at(1100, 149), false],
    [at(1100, 150), true],
    [at(1101, 151), true],
    [at(9999, 149.999), false],
    [at(1099, 9999), false],
  ])("seen from %j has passed: %s", (now, passed) => {
    expect(hasPassed(deadline, now)).toBe(passed);
  });

  test("is not brought about by setting the wall clock, nor by sleep alone", () => {
    const clock = new ManualClock();
    const soon = deadlineAt(clock.wallMs() + 100, momentOf(clock));
    clock.setWall(1000);
    expect(hasPassed(soon, momentOf(clock))).toBe(false);
    clock.advance(100);
    expect(hasPassed(soon, momentOf(clock))).toBe(true);
  });

  test("that is the later of two is later on each clock by itself", () => {
    expect(laterOf(undefined, at(1, 2))).toEqual(at(1, 2));
    expect(laterOf(at(5, 1), at(3, 9))).toEqual(at(5, 9));
    expect(laterOf(at(3, 9), at(5, 1))).toEqual(at(5, 9));
  });
});

test("the system's clock gives whole milliseconds since 1970, and a second clock that never falls", () => {
  const before = momentOf(systemClock);
  const after = momentOf(systemClock);
  expect(Number.isInteger(before.wallMs)).toBe(true);
  expect(before.wallMs).toBeGreaterThan(Date.parse("2024-01-01"));
  expect(after.monotonicMs).toBeGreaterThanOrEqual(before.monotonicMs);
});
