/**
 * The load generator, as seen from the main thread. It runs in a thread of its own: the main thread
 * is the API behind Envoy and reads Envoy's access log, and none of that may delay a request or the
 * moment at which an answer is seen.
 */
import { Worker } from "node:worker_threads";

import { loadReportSchema } from "./load-messages.js";
import type { LoadOrder, LoadResult, LoadSetUp } from "./load-messages.js";

export class LoadGenerator {
  readonly #thread: Worker;

  constructor(setUp: LoadSetUp) {
    this.#thread = new Worker(new URL("load-thread.js", import.meta.url), { workerData: setUp });
  }

  /**
   * Sends one stretch of requests; one at a time.
   *
   * @throws Error when it had to be broken off
   */
  async run(order: LoadOrder, progress: (sent: number) => void): Promise<LoadResult> {
    const thread = this.#thread;
    const ending = new AbortController();
    try {
      return await new Promise<LoadResult>((resolve, reject) => {
        const listen = (message: unknown) => {
          const report = loadReportSchema.parse(message);
          if (report.kind === "progress") progress(report.sent);
          else if (report.kind === "done") resolve(report.result);
          else reject(new Error(report.message));
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
