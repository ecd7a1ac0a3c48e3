import { describe, expect, test } from "@jest/globals";

import { readCoreList } from "../../../bench/load/cores.js";

describe("the kernel's list of cores", () => {
  test.each([
    ["0", [0]],
    ["0-3", [0, 1, 2, 3]],
    ["0-1,4,6-7", [0, 1, 4, 6, 7]],
    ["", []],
  ])("%j is read", (list, cores) => {
    expect(readCoreList(list)).toEqual(cores);
  });
});
