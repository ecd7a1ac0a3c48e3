/** Runs callers one after the other, in order; the number waiting and their wait are bounded. */
import { DatabaseError } from "./database.js";

export interface MutexBounds {
  readonly waitingMax: number;
  readonly waitMaxMs: number;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
  readonly go: () => void;
}

export class Mutex {
  readonly #bounds: MutexBounds;
  readonly #waiting = new Set<Waiting>();
  #taken = false;

  constructor(bounds: MutexBounds) {
    this.#bounds = bounds;
  }

  get taken(): boolean {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when it is this caller's turn, which lasts until the returned function is called.
   * Rejects with a DatabaseError `unavailable` if the queue is full or the wait too long.
   */
  async take(): Promise<() => void> {
    if (this.#taken) await this.#wait();
    this.#taken = true;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#next();
    };
  }

  /**
   * Passes the turn on without releasing it, so that a new caller cannot overtake the queue. Not
   * synchronously: a database inside this process answers without any I/O wait, and a long queue
   * would starve sockets and timers until it is empty.
   */
  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken = false;
      return;
    }
    clearTimeout(next.timer);
    this.#waiting.delete(next);
    setImmediate(next.go);
  }

  async #wait(): Promise<void> {
    const { waitingMax, waitMaxMs } = this.#bounds;
    if (this.#waiting.size >= waitingMax) {
      throw new DatabaseError(
        "unavailable",
        `database: the queue is full (${waitingMax} transactions)`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        reject(new DatabaseError("unavailable", `database: no turn within ${waitMaxMs} ms`));
      }, waitMaxMs);
      const waiting = { timer, go: resolve };
      this.#waiting.add(waiting);
    });
  }
}
