import { PasswordHasherError } from "./password-hasher.js";

export interface QueueBounds {
  /** The maximum of running pieces of work. */
  readonly concurrency: number;
  /** The maximum of waiting ones. */
  readonly queueMax: number;
  /** How long one may wait before it is refused. */
  readonly waitMaxMs: number;
}

interface Waiting {
  begin(): void;
  refuse(error: PasswordHasherError): void;
}

/**
 * Runs a few pieces of work at a time, in the order in which they came. Hashing is the most
 * expensive work that an anonymous client can cause: beyond the limits it is refused at once, not
 * queued until its clients have timed out.
 */
export class BoundedQueue {
  readonly #options: QueueBounds;
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #closed = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: QueueBounds) {
    requireWhole("concurrency", options.concurrency, 1);
    requireWhole("queueMax", options.queueMax, 0);
    requireWhole("waitMaxMs", options.waitMaxMs, 1);
    this.#options = options;
  }

  get pending(): number {
    return this.#running + this.#waiting.length;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /**
   * @throws PasswordHasherError `queue_full` or `closed`, before the work has begun; afterwards
   * only what the work throws
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#turn();
    try {
      return await work();
    } finally {
      this.#handOn();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const one of this.#waiting.splice(0)) one.refuse(closed());
    if (this.#running === 0) return;
    await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  async #turn(): Promise<void> {
    if (this.#closed) throw closed();
    if (this.#running < this.#options.concurrency) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= this.#options.queueMax) {
      throw new PasswordHasherError("queue_full", "too many passwords are waiting to be hashed");
    }
    await new Promise<void>((resolve, reject) => this.#wait(resolve, reject));
  }

  #wait(resolve: () => void, reject: (error: PasswordHasherError) => void): void {
    const { waitMaxMs } = this.#options;
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(one), 1);
      reject(new PasswordHasherError("queue_full", `not hashed within ${waitMaxMs} ms`));
    }, waitMaxMs);
    const one: Waiting = {
      begin: () => {
        clearTimeout(timer);
        resolve();
      },
      refuse: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    };
    this.#waiting.push(one);
  }

  /** Hands the slot to the next one waiting, so that a new call cannot overtake it. */
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

function closed(): PasswordHasherError {
  return new PasswordHasherError("closed", "the password hasher is closed");
}

function requireWhole(name: string, value: number, min: number): void {
  if (!Number.isSafeInteger(value) || value < min) {
    throw new RangeError(`${name} must be a whole number of at least ${min}`);
  }
}
