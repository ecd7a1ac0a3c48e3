import { describe, expect, test } from "@jest/globals";

import { readArguments } from "../../../bench/load/arguments.js";

const FULL = { rounds: 3, secondsPerSide: 30, ratePerS: 500, tokens: 1000, warmUpS: 2 };

describe("the benchmark's arguments", () => {
  test("without any, the run is the full one; with --record it is recorded", () => {
    const plan = { ...FULL, small: false };
    expect(readArguments([])).toEqual({ kind: "run", plan: { ...plan, record: false } });
    expect(readArguments(["--record"])).toEqual({ kind: "run", plan: { ...plan, record: true } });
  });

  test.each([
    [["--rate", "250"], { ...FULL, ratePerS: 250, warmUpS: 4 }],
    [["--tokens=1"], { ...FULL, tokens: 1, warmUpS: 1 }],
    [["--rounds", "1", "--seconds", "10"], { ...FULL, rounds: 1, secondsPerSide: 10 }],
  ])("%j makes it another", (args, plan) => {
    expect(readArguments(args)).toMatchObject({ kind: "run", plan: { ...plan, record: false } });
  });

  test("a small run is short and not recorded", () => {
    const plan = { rounds: 1, secondsPerSide: 2, ratePerS: 200, tokens: 100, record: false };
    expect(readArguments(["--small"])).toMatchObject({ kind: "run", plan });
  });

  test("the micro benchmark is chosen by a flag of its own", () => {
    expect(readArguments(["--micro"])).toEqual({ kind: "micro", small: false });
    expect(readArguments(["--micro", "--small"])).toEqual({ kind: "micro", small: true });
  });

  test.each([
    [["--micro", "--rate", "5"], "--micro goes with --small only"],
    [["--record", "--small"], "--record goes with no other option"],
    [["--rate", "0"], "--rate must be"],
    [["--rate", "5001"], "--rate must be"],
    [["--rate", "1.5"], "--rate must be"],
    [["--seconds", ""], "--seconds must be"],
    [["--rounds"], "rounds"],
    [["--fast"], "--fast"],
    [["bench"], "bench"],
    [["--seconds", "300"], "at most 540 s"],
  ])("refuses %j", (args, told) => {
    expect(readArguments(args)).toEqual({
      kind: "wrong",
      message: expect.stringContaining(told),
    });
  });

  test("takes a run as long as the tokens allow and none longer", () => {
    // Twice (88 s + 2 s) per round.
    expect(readArguments(["--seconds", "88"])).toMatchObject({ kind: "run" });
    expect(readArguments(["--seconds", "89"])).toMatchObject({ kind: "wrong" });
  });
});
