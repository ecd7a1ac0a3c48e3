import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";

import { percentileOf, percentilesOf, spreadOf } from "../../../bench/report/percentile.js";

const upTo = (count: number): Float64Array => Float64Array.from({ length: count }, (_, i) => i + 1);

describe("percentileOf", () => {
  test.each([
    [1, 1, 1],
    [1, 100, 1],
    [2, 50, 1],
    [2, 51, 2],
    [20, 95, 19],
    [20, 96, 20],
    [100, 7, 7],
    [100, 99, 99],
    [100, 100, 100],
    [101, 99, 100],
    [15_000, 95, 14_250],
  ])("of 1 to %i, the %ith percentile is %i", (count, percent, expected) => {
    expect(percentileOf(upTo(count), percent)).toBe(expected);
  });

  test.each([0, 101, -1, 99.9, NaN])("refuses %d percent", (percent) => {
    expect(() => percentileOf(upTo(10), percent)).toThrow(RangeError);
  });

  test("refuses no samples", () => {
    expect(() => percentileOf(new Float64Array(0), 50)).toThrow("no samples");
  });

  test("is the smallest sample that enough samples do not exceed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 100 }),
        (values, percent) => {
          const sorted = [...values].sort((a, b) => a - b);
          const enough = sorted.find(
            (value) =>
              sorted.filter((other) => other <= value).length * 100 >= percent * sorted.length,
          );
          // −0 and 0 are the same latency.
          expect(percentileOf(Float64Array.from(values).sort(), percent) === enough).toBe(true);
        },
      ),
    );
  });
});

describe("percentilesOf", () => {
  test("does not need its samples in order, and leaves them as they are", () => {
    const samples = upTo(100).reverse();
    expect(percentilesOf(samples)).toEqual({ p50: 50, p95: 95, p99: 99 });
    expect(samples[0]).toBe(100);
  });

  test.each([NaN, Infinity])("refuses a sample of %d", (sample) => {
    expect(() => percentilesOf(Float64Array.of(1, sample, 2))).toThrow("not a finite number");
  });
});

describe("spreadOf", () => {
  test.each([
    [[3], { median: 3, min: 3, max: 3 }],
    [[10, 9, 2], { median: 9, min: 2, max: 10 }],
    [[4, 1, 2, 3], { median: 2.5, min: 1, max: 4 }],
  ])("of %j", (values, expected) => {
    expect(spreadOf(values)).toEqual(expected);
  });

  test("refuses no values", () => {
    expect(() => spreadOf([])).toThrow("no values");
  });
});
