import { expect, test } from "@jest/globals";

import { withTimeout } from "../../../src/runtime/with-timeout.js";

const late = () => new Error("late");
const timers = () => process.getActiveResourcesInfo().filter((one) => one === "Timeout").length;

test("settles as the promise does, and leaves no timer behind", async () => {
  const before = timers();
  const answered = withTimeout(Promise.resolve("answer"), 60_000, late);
  const failed = withTimeout(Promise.reject(new Error("broken")), 60_000, late);
  expect(timers()).toBe(before + 2);
  expect(await answered).toBe("answer");
  await expect(failed).rejects.toThrow("broken");
  expect(timers()).toBe(before);
});

test("rejects once the time has passed, and ignores what comes later", async () => {
  let asked = 0;
  let fail = (): void => undefined;
  const hanging = new Promise<never>((_, reject) => (fail = () => reject(new Error("too late"))));
  const bounded = withTimeout(hanging, 20, () => {
    asked += 1;
    return late();
  });
  expect(asked).toBe(0);
  await expect(bounded).rejects.toThrow("late");
  // It must not end the program as an unhandled rejection.
  fail();
  await new Promise(setImmediate);
  expect(asked).toBe(1);
});
