import { describe, expect, test } from "@jest/globals";

import {
  afterFailure,
  lockedForS,
  type FailureRecord,
} from "../../../../src/sessions/login/lockout.js";

const NOW_MS = 1_800_000_000_000;
const SETTINGS = { failuresMax: 3, windowMs: 1000, lockMs: 5000 };

function record(failures: number, over: Partial<FailureRecord> = {}): FailureRecord {
  return { failures, lastFailedAtMs: NOW_MS, lockedUntilMs: undefined, ...over };
}

describe("a failure", () => {
  test("is the first one of a row that has none yet", () => {
    expect(afterFailure(record(0), NOW_MS, SETTINGS)).toEqual(record(1));
  });

  test.each([
    [999, 2],
    [1000, 2],
    [1001, 1],
  ])("that comes %i ms after the one before is the %i. of its row", (laterMs, failures) => {
    const after = afterFailure(record(1), NOW_MS + laterMs, SETTINGS);
    expect(after).toEqual(record(failures, { lastFailedAtMs: NOW_MS + laterMs }));
  });

  test("that makes the row full locks, and the one before it does not", () => {
    expect(afterFailure(record(1), NOW_MS, SETTINGS).lockedUntilMs).toBeUndefined();
    expect(afterFailure(record(2), NOW_MS, SETTINGS)).toEqual(
      record(3, { lockedUntilMs: NOW_MS + 5000 }),
    );
  });

  test("locks at once where one is enough", () => {
    const settings = { ...SETTINGS, failuresMax: 1 };
    expect(afterFailure(record(0), NOW_MS, settings).lockedUntilMs).toBe(NOW_MS + 5000);
  });

  test("after a lock is the first one of a new row", () => {
    const locked = record(3, { lockedUntilMs: NOW_MS + 500 });
    const after = afterFailure(locked, NOW_MS + 500, SETTINGS);
    expect(after).toEqual(record(1, { lastFailedAtMs: NOW_MS + 500 }));
  });
});

describe("a lock", () => {
  test.each([
    [0, 5],
    [3999, 2],
    [4000, 1],
    [4999, 1],
    [5000, undefined],
    [5001, undefined],
  ])("after %i of its 5000 ms says to come back in %p s", (passedMs, seconds) => {
    const locked = record(3, { lockedUntilMs: NOW_MS + 5000 });
    expect(lockedForS(locked, NOW_MS + passedMs)).toBe(seconds);
  });

  test("is not there where nothing has failed or too little", () => {
    expect(lockedForS(undefined, NOW_MS)).toBeUndefined();
    expect(lockedForS(record(2), NOW_MS)).toBeUndefined();
  });
});
