/** Pauses between attempts: longer after each failure, never the same for all nodes at once. */
import { setTimeout as delay } from "node:timers/promises";

export const RETRY_DELAY_MIN_MS = 50;
/** The exponent at which the delay has long reached its maximum. */
const FAILURES_COUNTED_MAX = 8;

export class RetryPause {
  readonly #signal: AbortSignal;
  readonly #random: () => number;
  #failures = 0;

  /** `signal` ends every pause; `random`: 0 ≤ n < 1. */
  constructor(signal: AbortSignal, random: () => number) {
    this.#signal = signal;
    this.#random = random;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** Waits for `maxMs` at the most; never rejects. */
  async wait(maxMs: number): Promise<void> {
    const ceilingMs = Math.min(maxMs, RETRY_DELAY_MIN_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, FAILURES_COUNTED_MAX);
    const delayMs = ceilingMs * (0.5 + this.#random() / 2);
    await delay(delayMs, undefined, { signal: this.#signal }).catch(() => undefined);
  }
}
