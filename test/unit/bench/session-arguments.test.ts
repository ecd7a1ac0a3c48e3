import { describe, expect, test } from "@jest/globals";

import { readSessionArguments } from "../../../bench/load/session-arguments.js";

describe("the arguments of the session service's benchmark", () => {
  test("without any, the run is the full one at the rate of the target", () => {
    const plan = { small: false, record: false, together: false, ratePerS: 200, nodes: 3 };
    expect(readSessionArguments([])).toMatchObject({ kind: "run", plan });
  });

  test("a full run may be recorded, and only that", () => {
    const run = { kind: "run", plan: { small: false, record: true } };
    expect(readSessionArguments(["--record"])).toMatchObject(run);
    for (const other of ["--small", "--together"]) {
      expect(readSessionArguments(["--record", other])).toMatchObject({
        kind: "wrong",
        message: expect.stringContaining("goes with no other option"),
      });
    }
  });

  test("a small run is one round, in which each kind of request is sent", () => {
    expect(readSessionArguments(["--small"])).toMatchObject({
      kind: "run",
      plan: { small: true, rounds: 1, refreshS: 1, readS: 1, nodes: 3 },
    });
  });

  test.each([["--rate", "5"], ["extra"], ["--small=yes"]])("%j is not understood", (...args) => {
    expect(readSessionArguments(args).kind).toBe("wrong");
  });

  test("--help asks for the usage, whatever else is there", () => {
    expect(readSessionArguments(["--help", "--small"])).toEqual({ kind: "help" });
  });
});
