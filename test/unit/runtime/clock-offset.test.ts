import { describe, expect, test } from "@jest/globals";
import { clockOffsetMs, describeClockOffset } from "../../../src/runtime/clock-offset.js";

const moment = (wallMs: number) => ({ wallMs, monotonicMs: 0 });

describe("the offset of another clock", () => {
  test.each([
    [99, -1],
    [100, 0],
    [110, 0],
    [111, 1],
  ])("that says %i between 100 and 110 is %i ms", (serverMs, offsetMs) => {
    const heard = { serverMs, sentAt: moment(100), receivedAt: moment(110) };
    expect(clockOffsetMs(heard)).toBe(offsetMs);
  });

  test("is told with its direction, its limit and what to do", () => {
    expect(describeClockOffset("Redis", -31_000.4, 30_000)).toBe(
      "the clock of Redis is 31000 ms behind this machine's, allowed are 30000 ms: set the clocks (NTP)",
    );
    expect(describeClockOffset("the database", 5001, 5000)).toBe(
      "the clock of the database is 5001 ms ahead of this machine's, allowed are 5000 ms: set the clocks (NTP)",
    );
  });
});
