import { expect, test } from "@jest/globals";

import { PeriodicTask } from "../../../src/runtime/periodic-task.js";

/** A task whose timer goes off, and whose runs end, when the test says so. */
function setUp() {
  const happened: string[] = [];
  let goOff: (() => void) | undefined;
  let end: (delayMs: number | undefined) => void = () => undefined;
  const task = new PeriodicTask(
    () => {
      happened.push("run");
      return new Promise((resolve) => (end = resolve));
    },
    (run, delayMs) => {
      happened.push(`in ${delayMs} ms`);
      goOff = run;
      return () => {
        happened.push("cancelled");
        goOff = undefined;
      };
    },
  );
  return {
    task,
    happened,
    goOff: () => goOff?.(),
    end: async (delayMs: number | undefined) => {
      end(delayMs);
      await new Promise(setImmediate);
    },
  };
}

test("each run decides when the next one begins, after its own end", async () => {
  const { task, happened, goOff, end } = setUp();
  void task.start();
  expect(happened).toEqual(["run"]);
  await end(50);
  expect(happened).toEqual(["run", "in 50 ms"]);
  goOff();
  expect(happened).toEqual(["run", "in 50 ms", "run"]);
  await end(undefined);
  expect(happened).toEqual(["run", "in 50 ms", "run"]);
});

test("the first run may begin later, and a second start begins no other", async () => {
  const { task, happened, goOff } = setUp();
  await task.start(1000);
  await task.start(10);
  expect(happened).toEqual(["in 1000 ms"]);
  goOff();
  void task.start();
  expect(happened).toEqual(["in 1000 ms", "run"]);
});

test("start settles with the first run", async () => {
  const { task, happened, end } = setUp();
  const started = task.start().then(() => happened.push("started"));
  await new Promise(setImmediate);
  expect(happened).toEqual(["run"]);
  await end(undefined);
  await started;
});

test("closing between two runs cancels the next", async () => {
  const { task, happened } = setUp();
  void task.start(1000);
  await task.close();
  void task.start();
  expect(happened).toEqual(["in 1000 ms", "cancelled"]);
  expect(task.closed).toBe(true);
});

test("closing waits for the run under way, which is the last", async () => {
  const { task, happened, goOff, end } = setUp();
  void task.start(1000);
  goOff();
  const closed = task.close().then(() => happened.push("closed"));
  await new Promise(setImmediate);
  expect(happened).not.toContain("closed");
  await end(50);
  await closed;
  expect(happened).toEqual(["in 1000 ms", "run", "cancelled", "closed"]);
});
