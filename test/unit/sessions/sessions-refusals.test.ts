/** What is told of the audit trail's rows of refusals. */
import { expect, test } from "@jest/globals";
import { pino } from "pino";
import { z } from "zod";

import { sessionsMetrics } from "../../../src/sessions/sessions-metrics.js";
import { sessionsObservers } from "../../../src/sessions/sessions-observers.js";
import { ManualClock } from "../../support/manual-clock.js";

const lineSchema = z.object({ level: z.number(), msg: z.string(), problem: z.string().optional() });

function setUp() {
  const written: string[] = [];
  const log = pino({ base: null }, { write: (line: string) => written.push(line) });
  const metrics = sessionsMetrics({
    pool: () => ({ max: 1, inUse: 0, idle: 0, waiting: 0 }),
    hashing: () => ({ pending: 0, queued: 0 }),
    outbox: () => undefined,
    relaying: () => false,
    search: () => undefined,
    keys: () => ({ count: 0, signingAgeMs: undefined }),
    clockAheadMs: () => undefined,
    limitsInProcess: () => false,
  });
  return {
    refusals: sessionsObservers(log, metrics, new ManualClock()).refusals,
    lines: () => written.splice(0).map((line) => lineSchema.parse(JSON.parse(line))),
    counted: async () => {
      const { text } = await metrics.page();
      const samples = text.matchAll(/^sekisho_refused_acts_total\{row="(\w+)"\} (\d+)$/gm);
      return Object.fromEntries<number>(
        [...samples].map(([, row = "", count]) => [row, Number(count)] as const),
      );
    },
  };
}

test("each refusal is counted by what became of its row", async () => {
  const { refusals, counted, lines } = setUp();
  expect(await counted()).toEqual({ written: 0, left_out: 0, failed: 0 });
  refusals.onWritten();
  refusals.onLeftOut();
  refusals.onLeftOut();
  expect(await counted()).toEqual({ written: 1, left_out: 2, failed: 0 });
  // Refusals are the users' side, and no line of the log.
  expect(lines()).toEqual([]);
});

test("that rows cannot be written is told once, and once that they can again", async () => {
  const { refusals, counted, lines } = setUp();
  refusals.onFailed(new Error("the database is away"));
  refusals.onFailed(new Error("the database is away"));
  refusals.onLeftOut();
  expect(lines()).toEqual([
    {
      level: 40,
      msg: "refused acts could not be written to the audit trail",
      problem: "the database is away",
    },
  ]);
  refusals.onWritten();
  refusals.onWritten();
  expect(lines()).toEqual([
    { level: 30, msg: "refused acts are written to the audit trail again" },
  ]);
  expect(await counted()).toEqual({ written: 2, left_out: 1, failed: 2 });
});
