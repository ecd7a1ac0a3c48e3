/** The load generator's thread: sends what it is ordered to, at the metronome's ticks. */
import { parentPort, workerData } from "node:worker_threads";

import { faultOfAnswer } from "./expected-answer.js";
import { HttpSender } from "./http-sender.js";
import type { HttpAnswer } from "./http-sender.js";
import { loadOrderSchema, loadSetUpSchema } from "./load-messages.js";
import type { LoadOrder, LoadReport, LoadSetUp } from "./load-messages.js";
import { CONNECTIONS_MAX, LIMITS } from "./load-limits.js";
import { Metronome } from "./metronome.js";
import { monotonicMs } from "./monotonic.js";
import { OpenLoop } from "./open-loop.js";
import type { OpenLoopResult } from "./open-loop.js";

/** Any path without a route of its own in envoy.yaml: a token is required there. */
const PATH = "/reports/42";

const sender = new HttpSender(CONNECTIONS_MAX);

async function carryOut(
  order: LoadOrder,
  tokens: LoadSetUp["tokens"],
  progress: (sent: number) => void,
): Promise<OpenLoopResult> {
  const tokenOf = (index: number) => {
    const chosen = tokens[index % tokens.length];
    if (chosen === undefined) throw new Error("there are no tokens");
    return chosen;
  };
  const parts = {
    nowMs: monotonicMs,
    send: (index: number) =>
      sender.send({ port: order.port, path: PATH, token: tokenOf(index).token }),
    faultOf: (answer: HttpAnswer, index: number) =>
      faultOfAnswer(answer, order.identified ? tokenOf(index).owner : undefined),
  };
  let loop: OpenLoop<HttpAnswer> | undefined;
  let metronome: Metronome | undefined;
  const reporting = setInterval(() => progress(loop?.sent ?? 0), 1000);
  try {
    return await new Promise<OpenLoopResult>((resolve, reject) => {
      metronome = Metronome.start(1000 / order.ratePerS, {
        tick: (startMs) => {
          if (loop === undefined) {
            loop = new OpenLoop({ ...order, ...LIMITS, startMs }, parts);
            loop.result.then(resolve, reject);
          }
          loop.tick();
        },
        failed: reject,
      });
    });
  } finally {
    clearInterval(reporting);
    await metronome?.stop();
  }
}

const port = parentPort;
if (port === null) throw new Error("this is a thread of the benchmark, not a program");
const { tokens } = loadSetUpSchema.parse(workerData);
const report = (message: LoadReport) => port.postMessage(message);
port.on("message", (message: unknown) => {
  const order = loadOrderSchema.parse(message);
  carryOut(order, tokens, (sent) => report({ kind: "progress", sent })).then(
    (result) => report({ kind: "done", result }),
    (error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      report({ kind: "broken off", message: text });
    },
  );
});
