import { describe, expect, it } from "@jest/globals";
import { nextLookAtMs } from "../../../src/revocation-log/look-schedule.js";

/** When the looks are, each answered at once, for a wait that began at `youngestMs`. */
function looks(count: number, rows: number, youngestMs = 1000): readonly number[] {
  const found: number[] = [];
  let last: { doneAtMs: number; rows: number } | undefined;
  while (found.length < count) {
    const doneAtMs = nextLookAtMs(last, youngestMs);
    found.push(doneAtMs - youngestMs);
    last = { doneAtMs, rows };
  }
  return found;
}

describe("the looks at the nodes' rows", () => {
  it("come quickly while a wait is young, then 20 times a second", () => {
    const expected = [4, 6, 9, 13.5, 20.25, 30.375, 45.5625, 68.34375, 118.34375, 168.34375];
    expect(looks(10, 3)).toEqual(expected);
  });

  it("leave time in between for what many rows cost", () => {
    expect(looks(5, 100)).toEqual([4, 9, 14, 21, 31.5]);
    expect(looks(4, 1000)).toEqual([4, 54, 104, 154]);
    expect(looks(4, 4000)).toEqual([4, 204, 404, 604]);
    expect(looks(3, 1_000_000)).toEqual([4, 504, 1004]);
  });

  it("begin 4 ms after the youngest wait, but not at once after another look", () => {
    const last = { doneAtMs: 1000, rows: 3 };
    expect(nextLookAtMs(last, 1010)).toBe(1014);
    expect(nextLookAtMs(last, 1000)).toBe(1004);
    expect(nextLookAtMs(last, 997)).toBe(1002);
    expect(nextLookAtMs({ ...last, rows: 200 }, 1001)).toBe(1010);
  });

  it("are slow from the first moment at which no wait is young any more", () => {
    expect(nextLookAtMs({ doneAtMs: 1049, rows: 3 }, 1000)).toBe(1073.5);
    expect(nextLookAtMs({ doneAtMs: 1050, rows: 3 }, 1000)).toBe(1100);
  });
});
