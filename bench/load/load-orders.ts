/** The load generator's side of orders: each is a stretch of requests at the metronome's ticks. */
import { parentPort } from "node:worker_threads";

import type { HttpAnswer } from "./http-sender.js";
import type { LoadReport } from "./load-messages.js";
import { LIMITS } from "./load-limits.js";
import { Metronome } from "./metronome.js";
import { monotonicMs } from "./monotonic.js";
import { OpenLoop } from "./open-loop.js";
import type { OpenLoopDependencies, OpenLoopResult } from "./open-loop.js";

export interface Stretch {
  readonly count: number;
  readonly ratePerS: number;
  /** LIMITS.inFlightMax if left out. */
  readonly inFlightMax?: number | undefined;
}

export type StretchDependencies = Omit<OpenLoopDependencies<HttpAnswer>, "nowMs">;

/** Carries out what the main thread orders, one stretch after the other, until it is terminated. */
export function serveOrders<Order extends Stretch>(
  read: (message: unknown) => Order,
  partsOf: (order: Order) => StretchDependencies,
): void {
  const port = parentPort;
  if (port === null) throw new Error("this is a thread of the benchmark, not a program");
  const report = (message: LoadReport) => port.postMessage(message);
  port.on("message", (message: unknown) => {
    const order = read(message);
    sendStretch(order, partsOf(order), (sent) => report({ kind: "progress", sent })).then(
      (result) => report({ kind: "done", result }),
      (error: unknown) => {
        const text = error instanceof Error ? error.message : String(error);
        report({ kind: "broken off", message: text });
      },
    );
  });
}

/** Rejects when too many requests are in flight. Once it is `stopped`, no more are sent. */
export async function sendStretch<A>(
  { count, ratePerS, inFlightMax = LIMITS.inFlightMax }: Stretch,
  parts: Omit<OpenLoopDependencies<A>, "nowMs">,
  progress: (sent: number) => void,
  stopped?: AbortSignal,
): Promise<OpenLoopResult> {
  const { answerTimeoutMs } = LIMITS;
  const plan = { count, ratePerS, inFlightMax, answerTimeoutMs };
  let loop: OpenLoop<A> | undefined;
  let metronome: Metronome | undefined;
  const reporting = setInterval(() => progress(loop?.sent ?? 0), 1000);
  try {
    return await new Promise<OpenLoopResult>((resolve, reject) => {
      metronome = Metronome.start(1000 / ratePerS, {
        tick: (startMs) => {
          if (loop === undefined) {
            loop = new OpenLoop({ ...plan, startMs }, { ...parts, nowMs: monotonicMs });
            loop.result.then(resolve, reject);
          }
          if (stopped?.aborted === true) loop.stop();
          else loop.tick();
        },
        failed: reject,
      });
    });
  } finally {
    clearInterval(reporting);
    await metronome?.stop();
  }
}
