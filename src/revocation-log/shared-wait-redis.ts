/**
 * WAIT for everybody who has written on one connection.
 *
 * A WAIT covers all that its connection wrote before it, and Redis answers nothing else on that
 * connection until it is over: with a replica missing, one WAIT after the other would take a second for
 * each publication. So one is under way at a time, and all that was written meanwhile shares the next.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RedisConnection } from "./connection-redis.js";

const WAIT_TIMEOUT_MS = 1000;

export class SharedWait {
  readonly #connection: RedisConnection;
  /** The one that was not sent yet, and for how many replicas it will be. */
  #next: { replicas: number; readonly done: Promise<number> } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  /**
   * How many replicas have all that was written on this connection before this call; waits for
   * `replicas` of them, at most a second once it was sent. Rejects as `within` does.
   */
  reached(replicas: number): Promise<number> {
    if (this.#next !== undefined) {
      this.#next.replicas = Math.max(this.#next.replicas, replicas);
      return this.#next.done;
    }
    const done = this.#last.catch(() => undefined).then(() => this.#send());
    this.#next = { replicas, done };
    this.#last = done;
    return done;
  }

  async #send(): Promise<number> {
    // The replies to all that was written together come in one turn.
    await nextTurn();
    const replicas = this.#next?.replicas ?? 0;
    this.#next = undefined;
    const command = this.#connection.client.wait(replicas, WAIT_TIMEOUT_MS);
    return this.#connection.within(WAIT_TIMEOUT_MS + 500, "WAIT", command);
  }
}
