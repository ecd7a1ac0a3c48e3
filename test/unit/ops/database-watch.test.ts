import { afterEach, expect, test } from "@jest/globals";

import { waitUntil } from "../../../deploy/local/wait-for.js";
import { DatabaseWatch } from "../../../src/ops/database-watch.js";

const started: DatabaseWatch[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((watch) => watch.close()));
});

/** Answers as it is told, in this order; then as the last time. */
function watched(answers: (string | undefined)[]) {
  const told: (string | undefined)[] = [];
  let asked = 0;
  const ping = (): Promise<void> => {
    const answer = answers[Math.min(asked, answers.length - 1)];
    asked += 1;
    return answer === undefined ? Promise.resolve() : Promise.reject(new Error(answer));
  };
  const watch = new DatabaseWatch({ ping }, (problem) => told.push(problem));
  started.push(watch);
  return { watch, told, asked: () => asked };
}

const until = (look: () => boolean) => waitUntil(look, { what: "the watch", timeoutMs: 8000 });

test("a database that answers is not told of", async () => {
  const { watch, told, asked } = watched([undefined]);
  watch.start();
  await until(() => asked() === 2);
  expect([told, watch.problem]).toEqual([[], undefined]);
});

test("a change is told once, and the present problem is kept in its own words", async () => {
  const { watch, told, asked } = watched(["away", "starting up", undefined]);
  watch.start();
  await until(() => asked() === 2);
  await until(() => watch.problem === "starting up");
  expect(told).toEqual(["away"]);
  await until(() => told.length === 2);
  expect([told, watch.problem]).toStrictEqual([["away", undefined], undefined]);
});

test("closing waits for the question that is under way and asks no other", async () => {
  const happened: string[] = [];
  let answer = (): void => undefined;
  const ping = () => {
    happened.push("asked");
    return new Promise<void>((_, reject) => (answer = () => reject(new Error("away"))));
  };
  const watch = new DatabaseWatch({ ping }, () => happened.push("told"));
  watch.start();
  const closed = watch.close().then(() => happened.push("closed"));
  await Promise.resolve();
  expect(happened).toEqual(["asked"]);
  answer();
  await closed;
  expect(happened).toEqual(["asked", "closed"]);
});
