import { beforeEach, describe, expect, test } from "@jest/globals";

import { OpenLoop } from "../../../bench/load/open-loop.js";
import type { Exchange } from "../../../bench/load/open-loop.js";

/** 500 requests per second: one each 2 ms. */
const PLAN = { startMs: 1000, count: 4, ratePerS: 500, inFlightMax: 10, answerTimeoutMs: 5000 };

let nowMs: number;
let sent: { at: number; answer(text: string): void; fail(error: Error): void }[];

function send(): Exchange<string> {
  let abandon: () => void = () => undefined;
  const answered = new Promise<string>((resolve, reject) => {
    sent.push({ at: nowMs, answer: resolve, fail: reject });
    abandon = () => reject(new Error("no answer in time"));
  });
  return { answered, abandon };
}

const parts = {
  nowMs: () => nowMs,
  send,
  faultOf: (answer: string, index: number) =>
    answer === "right" ? undefined : `${answer} for ${index}`,
};

/** Lets what was answered be seen. */
const seen = async () => Promise.resolve().then(() => undefined);

async function tickAt(loop: OpenLoop<string>, ms: number): Promise<void> {
  nowMs = ms;
  loop.tick();
  await seen();
}

beforeEach(() => {
  nowMs = 1000;
  sent = [];
});

describe("an open loop", () => {
  test("sends each request when it is due, whatever became of the others", async () => {
    const loop = new OpenLoop(PLAN, parts);
    await tickAt(loop, 999.9);
    expect(loop.sent).toBe(0);
    await tickAt(loop, 1000);
    expect(loop.sent).toBe(1);
    await tickAt(loop, 1001.9);
    expect(loop.sent).toBe(1);
    await tickAt(loop, 1002);
    await tickAt(loop, 1004);
    expect(sent.map(({ at }) => at)).toEqual([1000, 1002, 1004]);
  });

  test("counts latency from the moment at which a request was due, not from its sending", async () => {
    const loop = new OpenLoop(PLAN, parts);
    await tickAt(loop, 1007);
    expect(sent.map(({ at }) => at)).toEqual([1007, 1007, 1007, 1007]);
    nowMs = 1008;
    for (const request of sent) request.answer("right");
    const result = await loop.result;
    expect([...result.latenciesMs]).toEqual([8, 6, 4, 2]);
    expect(result).toMatchObject({ lateSends: 3, latestSendMs: 7, failures: 0 });
  });

  test("counts a request as late only beyond a millisecond", async () => {
    const loop = new OpenLoop({ ...PLAN, count: 2 }, parts);
    await tickAt(loop, 1001);
    await tickAt(loop, 1003.5);
    for (const request of sent) request.answer("right");
    expect(await loop.result).toMatchObject({ lateSends: 1, latestSendMs: 1.5 });
  });

  test("keeps the first of what was wrong and has no latency for it", async () => {
    const loop = new OpenLoop({ ...PLAN, count: 3 }, parts);
    await tickAt(loop, 1004);
    sent[1]?.answer("wrong");
    await seen();
    sent[0]?.fail(new Error("reset"));
    sent[2]?.answer("right");
    const result = await loop.result;
    expect(result).toMatchObject({ failures: 2, firstFailure: "request 1: wrong for 1" });
    expect([...result.latenciesMs]).toEqual([NaN, NaN, 0]);
  });

  test("gives a request up when it has been due for longer than allowed", async () => {
    const loop = new OpenLoop({ ...PLAN, count: 2 }, parts);
    await tickAt(loop, 1002);
    sent[1]?.answer("right");
    await tickAt(loop, 6000);
    let over = false;
    void loop.result.then(() => (over = true));
    await seen();
    expect(over).toBe(false);
    await tickAt(loop, 6000.1);
    expect(await loop.result).toMatchObject({
      failures: 1,
      firstFailure: "request 0: no answer in time",
    });
  });

  test("that is stopped sends no more, and is over once all are answered", async () => {
    const loop = new OpenLoop(PLAN, parts);
    await tickAt(loop, 1002);
    loop.stop();
    await tickAt(loop, 1004);
    expect(sent).toHaveLength(2);
    for (const request of sent) request.answer("right");
    expect([...(await loop.result).latenciesMs]).toEqual([4, 2]);
  });

  test("that is stopped with nothing in flight is over at once", async () => {
    const loop = new OpenLoop(PLAN, parts);
    loop.stop();
    expect((await loop.result).latenciesMs).toHaveLength(0);
  });

  test("breaks off instead of having more in flight than allowed", async () => {
    const loop = new OpenLoop({ ...PLAN, inFlightMax: 3 }, parts);
    const broken = expect(loop.result).rejects.toThrow("3 requests are in flight");
    await tickAt(loop, 1004);
    expect(loop.sent).toBe(3);
    await tickAt(loop, 1006);
    await broken;
    await tickAt(loop, 1100);
    expect(loop.sent).toBe(3);
  });
});
