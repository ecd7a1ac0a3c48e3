/** One after the other, in order; how many wait and for how long is bounded. */
import { DatabaseError } from "./database.js";

export interface TurnBounds {
  readonly waitingMax: number;
  readonly waitMaxMs: number;
}

export class Turns {
  readonly #bounds: TurnBounds;
  readonly #waiting = new Set<() => void>();
  #taken = false;

  constructor(bounds: TurnBounds) {
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
   * Rejects with a DatabaseError `unavailable` where the queue is full or the wait too long.
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

  /** The turn goes to the next one directly, so that nobody can come between. */
  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#taken = false;
    else next();
  }

  async #wait(): Promise<void> {
    const { waitingMax, waitMaxMs } = this.#bounds;
    if (this.#waiting.size >= waitingMax) {
      throw new DatabaseError(
        "unavailable",
        `database: ${waitingMax} transactions are waiting already`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(go);
        reject(new DatabaseError("unavailable", `database: no turn within ${waitMaxMs} ms`));
      }, waitMaxMs);
      this.#waiting.add(go);
    });
  }
}
