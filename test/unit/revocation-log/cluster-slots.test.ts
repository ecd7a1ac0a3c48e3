import { describe, expect, test } from "@jest/globals";
import { slotMaster } from "../../../src/revocation-log/cluster-slots-redis.js";

const ASKED = { host: "seed", port: 7000 };
const SLOTS = [
  [0, 5460, ["10.0.0.1", 7001, "id-1"], ["10.0.0.4", 7004, "id-4"]],
  [5461, 10_922, ["", 7002, "id-2", []]],
  [10_923, 16_000, [null, 7003]],
];

describe("the master of a slot", () => {
  test.each([
    [0, { host: "10.0.0.1", port: 7001 }],
    [5460, { host: "10.0.0.1", port: 7001 }],
    [5461, { host: "seed", port: 7002 }],
    [16_000, { host: "seed", port: 7003 }],
  ])(
    "%i is the first server of its range, at the host that was asked if it has no name",
    (slot, master) => {
      expect(slotMaster(slot, SLOTS, ASKED)).toEqual(master);
    },
  );

  test("that no range has is nobody now", () => {
    expect(() => slotMaster(16_001, SLOTS, ASKED)).toThrow(
      "no master has the revocation log's slot (16001) now",
    );
  });

  test("is not taken from a reply of another form", () => {
    expect(() => slotMaster("5", SLOTS, ASKED)).toThrow("CLUSTER KEYSLOT");
    expect(() => slotMaster(5, [[0, 16_383]], ASKED)).toThrow("CLUSTER SLOTS");
  });
});
