import { expect, test } from "@jest/globals";

import { Closing } from "../../../dev/demo/demo-deployment.js";

test("what was started last is closed first, each once", async () => {
  const closing = new Closing();
  const closed: string[] = [];
  for (const name of ["redis", "node", "envoy"]) {
    await closing.keep(Promise.resolve(name), (started) => void closed.push(started));
  }
  expect(await closing.close()).toEqual([]);
  expect(await closing.close()).toEqual([]);
  expect(closed).toEqual(["envoy", "node", "redis"]);
});

test("a fault in closing one thing does not keep the others from being closed", async () => {
  const closing = new Closing();
  const closed: string[] = [];
  const fault = new Error("will not end");
  await closing.keep(Promise.resolve("redis"), (started) => void closed.push(started));
  await closing.keep(Promise.resolve("node"), () => Promise.reject(fault));
  expect(await closing.close()).toEqual([fault]);
  expect(closed).toEqual(["redis"]);
});

test("what is still starting is waited for and closed, and what failed to start is not", async () => {
  const closing = new Closing();
  const closed: string[] = [];
  let finish: (name: string) => void = () => undefined;
  const late = new Promise<string>((resolve) => (finish = resolve));
  const starting = closing.keep(late, (started) => void closed.push(started));
  const failing = closing.keep(Promise.reject(new Error("no")), () => void closed.push("failed"));
  await expect(failing).rejects.toThrow("no");
  const over = closing.close();
  finish("late");
  expect(await over).toEqual([]);
  expect(await starting).toBe("late");
  expect(closed).toEqual(["late"]);
});

test("nothing is added once closing has begun", async () => {
  const closing = new Closing();
  await closing.close();
  await expect(closing.keep(Promise.resolve(1), () => undefined)).rejects.toThrow("stopped");
});
