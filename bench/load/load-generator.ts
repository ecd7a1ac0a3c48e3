/**
 * The load generator, as seen from the main thread. It runs in a thread of its own: what the main
 * thread does besides may not delay a request or the moment at which an answer is seen.
 */
import { Worker } from "node:worker_threads";

import { loadReportSchema } from "./load-messages.js";
import type { LoadResult } from "./load-messages.js";

export class LoadGenerator<Order> {
  readonly #thread: Worker;

  /** @param file the thread's, beside this one; it serves orders (`load-orders.ts`) */
  constructor(file: string, setUp: object) {
    this.#thread = new Worker(new URL(file, import.meta.url), { workerData: setUp });
  }

  /**
   * Sends one stretch of requests; one at a time.
   *
   * @throws Error when it had to be broken off
   */
  async run(order: Order, progress: (sent: number) => void): Promise<LoadResult> {
    const thread = this.#thread;
    const ending = new AbortController();
    try {
      return await new Promise<LoadResult>((resolve, reject) => {
        const listen = (message: unknown) => {
          const report = loadReportSchema.parse(message);
          if (report.kind === "progress") progress(report.sent);
          else if (report.kind === "done") resolve(report.result);
          else reject(new LoadBrokenOff(report.message));
        };
        const ended = () => reject(new Error("the load generator ended"));
        thread.on("message", listen).once("error", reject).once("exit", ended);
        ending.signal.addEventListener("abort", () => {
          thread.off("message", listen).off("error", reject).off("exit", ended);
        });
        thread.postMessage(order);
      });
    } finally {
      ending.abort();
    }
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}

/** A stretch was not sent to its end: too much was unanswered. */
export class LoadBrokenOff extends Error {
  constructor(message: string) {
    super(message);
    this.name = "LoadBrokenOff";
  }
}
