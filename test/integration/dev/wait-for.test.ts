import { expect, test } from "@jest/globals";

import { waitFor, waitUntil } from "../../../dev/wait-for.js";

test("waits until something is seen, and returns it", async () => {
  let looks = 0;
  const look = () => (++looks === 3 ? "there" : undefined);
  await expect(waitFor(look, { what: "it", timeoutMs: 5_000, everyMs: 1 })).resolves.toBe("there");
  expect(looks).toBe(3);
});

test("gives up after its time and says what it waited for", async () => {
  const never = waitUntil(() => false, { what: "pigs to fly", timeoutMs: 10, everyMs: 1 });
  await expect(never).rejects.toThrow("waited 10 ms for pigs to fly");
});

test("looks at least once, however short the time", async () => {
  await expect(waitFor(() => 1, { what: "it", timeoutMs: 0 })).resolves.toBe(1);
});

test("a look that throws ends the wait", async () => {
  const look = () => Promise.reject(new Error("cannot look"));
  await expect(waitFor(look, { what: "it", timeoutMs: 5_000 })).rejects.toThrow("cannot look");
});
