import { afterEach, expect, test } from "@jest/globals";

import { waitUntil } from "../../dev/wait-for.js";
import { DatabaseWatch } from "../../src/sessions/database-watch.js";
import { ManualClock } from "../support/manual-clock.js";

const SKEW_MS = 5000;

const started: DatabaseWatch[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((watch) => watch.close()));
});

function watching(ping: (clock: ManualClock) => Promise<number>) {
  const told: (readonly ["database" | "clock", string | undefined])[] = [];
  const clock = new ManualClock();
  const watch = new DatabaseWatch({
    db: { ping: () => ping(clock) },
    clock,
    skewMs: SKEW_MS,
    observer: {
      database: (problem) => told.push(["database", problem]),
      clock: (problem) => told.push(["clock", problem]),
    },
  });
  started.push(watch);
  return { watch, told };
}

/** Answers as it is told, in this order; then as the last time: a fault, or its clock's difference. */
function watched(answers: (string | number)[]) {
  let asked = 0;
  const one = watching((clock) => {
    const answer = answers[Math.min(asked, answers.length - 1)] ?? 0;
    asked += 1;
    return typeof answer === "string"
      ? Promise.reject(new Error(answer))
      : Promise.resolve(clock.wallMs() + answer);
  });
  return { ...one, asked: () => asked };
}

const until = (look: () => boolean) => waitUntil(look, { what: "the watch", timeoutMs: 30_000 });

test("a database that answers is not told of", async () => {
  const { watch, told, asked } = watched([0]);
  watch.start();
  await until(() => asked() === 2);
  expect([told, watch.problem, watch.clockProblem]).toEqual([[], undefined, undefined]);
});

test("a change is told once, and the present problem is kept in its own words", async () => {
  const { watch, told, asked } = watched(["away", "starting up", 0]);
  watch.start();
  await until(() => asked() === 2);
  await until(() => watch.problem === "starting up");
  expect(told).toEqual([["database", "away"]]);
  await until(() => told.length === 2);
  expect([told[1], watch.problem]).toStrictEqual([["database", undefined], undefined]);
});

test.each([
  [-SKEW_MS - 1, "behind", 5.001],
  [SKEW_MS + 1, "ahead of", -5.001],
])(
  "clocks that differ by %p ms are told once, and so is their agreement",
  async (ms, is, aheadS) => {
    const { watch, told, asked } = watched([ms, ms, ms < 0 ? -SKEW_MS : SKEW_MS]);
    watch.start();
    await until(() => asked() === 2);
    const problem = watch.clockProblem;
    expect(problem).toContain(
      `clock of the database is 5001 ms ${is} this machine's, allowed are 5000 ms`,
    );
    expect((watch.clockAheadMs ?? 0) / 1000).toBe(aheadS);
    await until(() => watch.clockProblem === undefined);
    expect([told, watch.problem]).toStrictEqual([
      [
        ["clock", problem],
        ["clock", undefined],
      ],
      undefined,
    ]);
  },
);

test("what the clocks said last stands while the database is away", async () => {
  const { watch } = watched([SKEW_MS + 1, "away"]);
  watch.start();
  await until(() => watch.problem === "away");
  expect(watch.clockProblem).toContain("ahead of");
});

test("the time that a question took is no difference of the clocks", async () => {
  const { watch } = watching((clock) => {
    clock.advance(60_000);
    const serverMs = clock.wallMs();
    clock.advance(60_000);
    return Promise.resolve(serverMs);
  });
  expect(watch.clockAheadMs).toBeUndefined();
  watch.start();
  await until(() => watch.clockAheadMs !== undefined);
  expect([watch.clockAheadMs, watch.clockProblem]).toEqual([0, undefined]);
});

test("closing waits for the question that is under way and asks no other", async () => {
  const happened: string[] = [];
  let answer = (): void => undefined;
  const { watch, told } = watching(() => {
    happened.push("asked");
    return new Promise<number>((_, reject) => (answer = () => reject(new Error("away"))));
  });
  watch.start();
  const closed = watch.close().then(() => happened.push("closed"));
  await Promise.resolve();
  expect(happened).toEqual(["asked"]);
  answer();
  await closed;
  expect([happened, told]).toEqual([["asked", "closed"], []]);
});
