import { expect, test } from "@jest/globals";
import { CatchUp } from "../../../../src/authz/follow/catch-up.js";

const at = (ms: number) => ({ wallMs: 1_000_000 + ms, monotonicMs: ms });

test("proves the latest moment of which everything is applied, once", () => {
  const catchUp = new CatchUp();
  catchUp.note(100, at(0));
  catchUp.note(200, at(60));
  catchUp.note(300, at(120));
  expect(catchUp.reached(99)).toBeUndefined();
  expect(catchUp.reached(250)).toEqual(at(60));
  expect(catchUp.reached(299)).toBeUndefined();
  expect(catchUp.reached(300)).toEqual(at(120));
  expect(catchUp.reached(300)).toBeUndefined();
});

test("keeps moments apart, so that a quorum is not asked for with each read", () => {
  const catchUp = new CatchUp();
  for (let ms = 0; ms <= 100; ms += 10) catchUp.note(ms, at(ms));
  const moments = [];
  for (let seq = 0; seq <= 100; seq += 10) {
    const moment = catchUp.reached(seq);
    if (moment !== undefined) moments.push(moment.monotonicMs);
  }
  expect(moments).toEqual([0, 50, 100]);
});

test("holds a bounded number of moments, the oldest ones, and takes more when they are reached", () => {
  const catchUp = new CatchUp();
  for (let second = 0; second < 1000; second += 1) catchUp.note(second, at(second * 1000));
  expect(catchUp.reached(10_000)).toEqual(at(99_000));
  catchUp.note(2000, at(1_000_000));
  expect(catchUp.reached(10_000)).toEqual(at(1_000_000));
});
