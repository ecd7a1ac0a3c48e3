/** Work that waits for its turn, in bounded number and for a bounded time. */

export interface QueueBounds {
  /** The maximum of running pieces of work. */
  readonly concurrency: number;
  /** The maximum of waiting ones. */
  readonly queueMax: number;
  /** How long one may wait before it is refused. */
  readonly waitMaxMs: number;
}

export type QueueRefusal = "full" | "timeout" | "closed";

interface Waiting {
  begin(): void;
  refuse(why: QueueRefusal): void;
}

/** Runs so many pieces of work at a time, in the order in which they came. */
export class BoundedQueue {
  readonly #bounds: QueueBounds;
  readonly #refusal: (why: QueueRefusal) => Error;
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #closed = false;
  #whenIdle: (() => void)[] = [];

  /** `refusal`: what work is refused with that has not begun. */
  constructor(bounds: QueueBounds, refusal: (why: QueueRefusal) => Error) {
    requireWhole("concurrency", bounds.concurrency, 1);
    requireWhole("queueMax", bounds.queueMax, 0);
    requireWhole("waitMaxMs", bounds.waitMaxMs, 1);
    this.#bounds = bounds;
    this.#refusal = refusal;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /** Rejects with the refusal before the work has begun; afterwards only with what the work throws. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      this.#handOn();
    }
  }

  /** Refuses what waits and what comes; resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const one of this.#waiting.splice(0)) one.refuse("closed");
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  async #turn(): Promise<void> {
    if (this.#closed) throw this.#refusal("closed");
    if (this.#running < this.#bounds.concurrency) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= this.#bounds.queueMax) throw this.#refusal("full");
    await new Promise<void>((resolve, reject) => this.#wait(resolve, reject));
  }

  #wait(resolve: () => void, reject: (error: Error) => void): void {
    const one: Waiting = {
      begin: () => {
        clearTimeout(timer);
        setImmediate(resolve);
      },
      refuse: (why) => {
        clearTimeout(timer);
        reject(this.#refusal(why));
      },
    };
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(one), 1);
      one.refuse("timeout");
    }, this.#bounds.waitMaxMs);
    this.#waiting.push(one);
  }

  /**
   * Hands the turn on without releasing it, so that a new call cannot overtake the queue. The next one
   * begins on a later turn of the event loop: work that never waits for I/O, as that of a database
   * inside this process, would starve sockets and timers until the queue is empty.
   */
  #handOn(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.begin();
      return;
    }
    this.#running -= 1;
    if (this.#running === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

function requireWhole(name: string, value: number, min: number): void {
  if (!Number.isSafeInteger(value) || value < min) {
    throw new RangeError(`${name} must be a whole number of at least ${min}`);
  }
}
