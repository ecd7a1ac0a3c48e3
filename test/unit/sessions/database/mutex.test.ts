import { expect, test } from "@jest/globals";

import { Mutex } from "../../../../src/sessions/database/mutex.js";

const patient = { waitingMax: 3, waitMaxMs: 60_000 };

test("gives turns in the order in which they were asked for, one at a time", async () => {
  const turns = new Mutex(patient);
  const order: number[] = [];
  let running = 0;
  const act = async (number: number) => {
    const giveBack = await turns.take();
    running += 1;
    expect(running).toBe(1);
    order.push(number);
    await Promise.resolve();
    running -= 1;
    giveBack();
  };
  await Promise.all([act(1), act(2), act(3), act(4)]);
  expect(order).toEqual([1, 2, 3, 4]);
  expect([turns.taken, turns.waiting]).toEqual([false, 0]);
});

test("refuses at once whoever comes when the queue is full", async () => {
  const turns = new Mutex(patient);
  const giveBack = await turns.take();
  const waiting = [turns.take(), turns.take(), turns.take()];
  await expect(turns.take()).rejects.toMatchObject({ code: "unavailable" });
  expect(turns.waiting).toBe(3);
  giveBack();
  for (const one of waiting) (await one)();
  expect(turns.taken).toBe(false);
});

test("refuses who has waited for too long, and nobody's turn is lost by it", async () => {
  const turns = new Mutex({ waitingMax: 3, waitMaxMs: 20 });
  const giveBack = await turns.take();
  await expect(turns.take()).rejects.toMatchObject({ code: "unavailable" });
  expect(turns.waiting).toBe(0);
  giveBack();
  (await turns.take())();
});

test("gives a turn back once only", async () => {
  const turns = new Mutex(patient);
  const first = await turns.take();
  first();
  const second = await turns.take();
  first();
  expect(turns.taken).toBe(true);
  second();
  expect(turns.taken).toBe(false);
});

test("lets the event loop look around between two of them", async () => {
  const turns = new Mutex({ waitingMax: 100, waitMaxMs: 5000 });
  const seen: string[] = [];
  const use = async (name: string): Promise<void> => {
    const giveBack = await turns.take();
    seen.push(name);
    giveBack();
  };
  const uses = ["first", "second", "third"].map(use);
  setImmediate(() => seen.push("something else"));
  await Promise.all(uses);
  expect(seen.indexOf("something else")).toBeLessThan(seen.indexOf("third"));
});
