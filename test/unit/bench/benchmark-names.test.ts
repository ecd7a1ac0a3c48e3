import { describe, expect, test } from "@jest/globals";

import { readNames } from "../../../bench/load/benchmark-names.js";

describe("the benchmarks that are run", () => {
  test.each([
    [[], ["latency", "sessions"], []],
    [["--small"], ["latency", "sessions"], ["--small"]],
    [["--record"], ["latency", "sessions"], ["--record"]],
    [["--rate", "5"], ["latency"], ["--rate", "5"]],
    [["--help"], ["latency"], ["--help"]],
  ])("%j without a name are %j", (args, names, options) => {
    expect(readNames(args)).toEqual({ kind: "run", named: false, names, options });
  });

  test.each([
    [["sessions", "--rounds", "1"], ["sessions"], ["--rounds", "1"]],
    [["propagation", "burst", "scale"], ["propagation", "burst", "scale"], []],
    [["scale", "burst", "--small"], ["scale", "burst"], ["--small"]],
    [["burst", "burst"], ["burst"], []],
    [["scale", "recovery"], ["scale", "recovery"], []],
  ])("%j are those that are named, in their order", (args, names, options) => {
    expect(readNames(args)).toEqual({ kind: "run", named: true, names, options });
  });

  test("several refuse what only one of them understands", () => {
    const told = 'several benchmarks take --small or --record only, not "--rate 5"';
    expect(readNames(["latency", "burst", "--rate", "5"])).toEqual({
      kind: "wrong",
      message: told,
    });
    expect(readNames(["burst", "scale", "quickly"])).toMatchObject({ kind: "wrong" });
  });
});
