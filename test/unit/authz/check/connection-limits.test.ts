import { describe, expect, test } from "@jest/globals";
import {
  endCause,
  isResetting,
  SILENT_MAX_MS,
  yieldingOf,
  type ConnectionFacts,
  type Received,
} from "../../../../src/authz/check/connection-limits.js";

const NOW_MS = 1_000_000;
const LIMITS = { connectionsMax: 10, idleMaxMs: 300_000, ageMaxMs: 600_000 };
const MIB = 1024 * 1024;

function factsWith(parts: Partial<ConnectionFacts> = {}): ConnectionFacts {
  const long = NOW_MS - 60_000;
  return {
    sinceMs: long,
    usedMs: NOW_MS,
    open: 0,
    answered: 5,
    answeredMs: NOW_MS,
    resets: 0,
    ...parts,
  };
}

function causeOf(facts: Partial<ConnectionFacts>, received: Partial<Received> = {}) {
  const some = { elapsedMs: 100, bytes: 100, bytesEver: 1000, opened: 1, answered: 1, ...received };
  return endCause(factsWith(facts), some, LIMITS, NOW_MS);
}

describe("a connection ends", () => {
  test.each([
    [SILENT_MAX_MS - 1, 0, undefined],
    [SILENT_MAX_MS, 0, "silent"],
    [SILENT_MAX_MS, 1, undefined],
  ])("after %d ms in which %d bytes came: %j", (ageMs, bytesEver, cause) => {
    expect(causeOf({ sinceMs: NOW_MS - ageMs }, { bytes: 0, bytesEver })).toBe(cause);
  });

  test.each([
    [LIMITS.idleMaxMs - 1, 0, undefined],
    [LIMITS.idleMaxMs, 0, "idle"],
    [LIMITS.idleMaxMs, 1, undefined],
  ])("%d ms after its last request, with %d open: %j", (unusedMs, open, cause) => {
    expect(causeOf({ usedMs: NOW_MS - unusedMs, open })).toBe(cause);
  });

  test.each([
    [LIMITS.ageMaxMs - 1, undefined],
    [LIMITS.ageMaxMs, "aged"],
  ])("at an age of %d ms, also with open requests: %j", (ageMs, cause) => {
    expect(causeOf({ sinceMs: NOW_MS - ageMs, open: 3 })).toBe(cause);
  });

  test("at no age where none is configured", () => {
    const limits = { ...LIMITS, ageMaxMs: Infinity };
    const received = { elapsedMs: 100, bytes: 0, bytesEver: 9, opened: 0, answered: 0 };
    expect(endCause(factsWith({ sinceMs: -1e12 }), received, limits, NOW_MS)).toBeUndefined();
  });

  test.each([
    ["bytes of no request", { opened: 0, answered: 0 }, MIB],
    ["a longer look", { elapsedMs: 1000, opened: 0, answered: 0 }, 10 * MIB],
    ["requests that are answered", { opened: 100, answered: 100 }, MIB + 100 * 176 * 1024],
    ["requests that are taken back", { opened: 100, answered: 0 }, MIB + 100 * 16 * 1024],
  ])("only when more came than belongs to %s", (_what, received, bytesMax) => {
    expect(causeOf({}, { ...received, bytes: bytesMax })).toBeUndefined();
    expect(causeOf({}, { ...received, bytes: bytesMax + 1 })).toBe("flooding");
  });
});

describe("a connection takes back", () => {
  test.each([
    [500, false],
    [501, true],
  ])("%d requests: too many is %j", (resets, expected) => {
    expect(isResetting({ resets })).toBe(expected);
  });
});

describe("to a new connection yields", () => {
  const newest = factsWith({ sinceMs: NOW_MS, answered: 0, answeredMs: undefined });
  const never = (sinceMs: number, open = 0) =>
    factsWith({ sinceMs, open, answered: 0, answeredMs: undefined });
  const last = (answeredMs: number, open = 0) => factsWith({ answeredMs, open, answered: 1 });

  test("the oldest that was never answered, whatever it has begun", () => {
    const oldest = never(1, 50);
    expect(yieldingOf([last(2), never(9), oldest, never(5), newest], newest)).toBe(oldest);
  });

  test("else the one whose last answer is the longest ago and which has nothing open", () => {
    const found = last(20);
    expect(yieldingOf([last(30), last(10, 1), found, newest], newest)).toBe(found);
  });

  test("none where all others are being answered", () => {
    expect(yieldingOf([last(10, 1), last(20, 2), newest], newest)).toBeUndefined();
  });
});
