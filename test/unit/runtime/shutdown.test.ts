import { expect, test } from "@jest/globals";

import { shutDown } from "../../../src/runtime/shutdown.js";

function setUp() {
  const told: object[] = [];
  return { told, log: { warn: (what: object) => void told.push(what) } };
}

test("parts end at the same time", async () => {
  const { log, told } = setUp();
  const order: string[] = [];
  let endFirst = (): void => undefined;
  await shutDown(log, [
    {
      part: "first",
      maxMs: 5000,
      end: () => new Promise<void>((resolve) => (endFirst = resolve)),
    },
    {
      part: "second",
      maxMs: 5000,
      end: () => {
        order.push("second");
        endFirst();
        return Promise.resolve();
      },
    },
  ]);
  expect(order).toEqual(["second"]);
  expect(told).toEqual([]);
});

test("a part that does not end is told and left", async () => {
  const { log, told } = setUp();
  const never = () => new Promise<never>(() => undefined);
  await shutDown(log, [{ part: "relay", maxMs: 20, end: never }]);
  expect(told).toEqual([{ part: "relay", problem: "not within 20 ms" }]);
});

test("a part that fails is told, at once or after it was left, and the others end", async () => {
  const { log, told } = setUp();
  let failLate = (): void => undefined;
  let ended = false;
  await shutDown(log, [
    { part: "now", maxMs: 5000, end: () => Promise.reject(new Error("gone")) },
    {
      part: "late",
      maxMs: 20,
      end: () => new Promise((_, reject) => (failLate = () => reject(new Error("gone, too")))),
    },
    { part: "well", maxMs: 5000, end: () => Promise.resolve((ended = true)) },
  ]);
  expect(told).toEqual([
    { part: "now", problem: "gone" },
    { part: "late", problem: "not within 20 ms" },
  ]);
  expect(ended).toBe(true);
  // Nobody waits for it any more, and it must not end the program as an unhandled rejection.
  failLate();
  await new Promise(setImmediate);
});
