import { describe, expect, it } from "@jest/globals";
import { contradicts, isDelivered } from "../../../src/revocation-log/row-evidence.js";

const row = {
  seenMs: 10_000,
  generation: "g",
  seq: 5,
  maxStalenessMs: 1000,
  onStale: "deny",
} as const;

describe("an entry is delivered to a group", () => {
  it.each([
    ["1000-6", "1000-6", true],
    ["1000-5", "1000-6", false],
    ["1000-10", "1000-6", true],
    ["999-6", "1000-6", false],
    ["1001-0", "1000-6", true],
    ["0-0", "1000-6", false],
  ])("whose last one is %s, where it is %s: %s", (deliveredId, entryId, expected) => {
    expect(isDelivered(deliveredId, entryId)).toBe(expected);
  });

  it("only where there is such a group, and by any group where the entry's ID is not known", () => {
    expect(isDelivered(undefined, "1000-6")).toBe(false);
    expect(isDelivered(undefined, undefined)).toBe(false);
    expect(isDelivered("0-0", undefined)).toBe(true);
  });
});

describe("a row contradicts what it said before", () => {
  it.each([
    [{ seq: 4 }],
    [{ generation: "h", seq: 9 }],
    [{ maxStalenessMs: 2000 }],
    [{ onStale: "allow" }],
    [{ seenMs: 8_999 }],
  ] as const)("with %j", (change) => {
    expect(contradicts({ ...row, ...change }, row)).toBe(true);
  });

  it.each([[{}], [{ seq: 6 }], [{ seenMs: 20_000 }], [{ seenMs: 9_000 }]])(
    "not with %j: a node goes on, and Redis's clock may be set back a little",
    (change) => {
      expect(contradicts({ ...row, ...change }, row)).toBe(false);
    },
  );

  it("not where nothing was known of it", () => {
    expect(contradicts(row, undefined)).toBe(false);
  });
});
