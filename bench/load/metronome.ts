/**
 * Ticks at fixed moments, precise to about a tenth of a millisecond without keeping a core busy.
 *
 * Node's timers are a millisecond apart, and a loop that spins until the moment takes a core from
 * what is measured. So a thread of its own sleeps in Atomics.wait, which the kernel ends on time,
 * and wakes the thread that listens.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { z } from "zod";

/** What the thread is started with. */
export const beatSchema = z.object({
  periodMs: z.number().positive(),
  /** An Int32Array of one: not zero when it is to end. */
  stopped: z.instanceof(SharedArrayBuffer),
});
export type Beat = z.infer<typeof beatSchema>;

export class Metronome {
  readonly #thread: Worker;
  readonly #stopped: Int32Array<SharedArrayBuffer>;

  private constructor(thread: Worker, stopped: Int32Array<SharedArrayBuffer>) {
    this.#thread = thread;
    this.#stopped = stopped;
  }

  /** Calls back at each tick with the moment of the first one (see monotonicMs). */
  static start(
    periodMs: number,
    handlers: { tick(firstMs: number): void; failed(error: unknown): void },
  ): Metronome {
    const stopped = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    const beat: Beat = { periodMs, stopped: stopped.buffer };
    const thread = new Worker(new URL("metronome-thread.js", import.meta.url), {
      workerData: beat,
    });
    thread.on("message", (message: unknown) => handlers.tick(z.number().parse(message)));
    thread.on("error", (error) => handlers.failed(error));
    return new Metronome(thread, stopped);
  }

  async stop(): Promise<void> {
    const ended = once(this.#thread, "exit");
    Atomics.store(this.#stopped, 0, 1);
    Atomics.notify(this.#stopped, 0);
    await ended;
  }
}
