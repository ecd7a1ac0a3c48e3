/** The metronome's thread: sleeps until the next moment, tells, and sleeps again. */
import { parentPort, workerData } from "node:worker_threads";

import { beatSchema } from "./metronome.js";
import { monotonicMs } from "./monotonic.js";

function keepBeat(tick: (firstMs: number) => void): void {
  const { periodMs, ...beat } = beatSchema.parse(workerData);
  const stopped = new Int32Array(beat.stopped);
  const firstMs = monotonicMs();
  for (let count = 0; ; count += 1) {
    const dueMs = firstMs + count * periodMs;
    // Should the sleep end early, a tick would find nothing due, and what is due would come late.
    for (let restMs = dueMs - monotonicMs(); restMs > 0; restMs = dueMs - monotonicMs()) {
      Atomics.wait(stopped, 0, 0, restMs);
      if (Atomics.load(stopped, 0) !== 0) return;
    }
    if (Atomics.load(stopped, 0) !== 0) return;
    tick(firstMs);
  }
}

const port = parentPort;
if (port === null) throw new Error("this is a thread of the benchmark, not a program");
keepBeat((firstMs) => port.postMessage(firstMs));
