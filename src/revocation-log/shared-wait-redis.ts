/**
 * One WAIT for all concurrent writers of a connection.
 *
 * A WAIT covers everything that its connection wrote before it, and Redis answers nothing else on
 * that connection until it returns: with a replica missing, separate WAITs would take a second for
 * each publication. So only one runs at a time, and all writes made meanwhile share the next.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { RedisConnection } from "./connection-redis.js";

const WAIT_TIMEOUT_MS = 1000;

export class SharedWait {
  readonly #connection: RedisConnection;
  /** The WAIT that was not sent yet, and its number of replicas. */
  #next: { replicas: number; readonly done: Promise<number> } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  /**
   * How many replicas have everything written on this connection before this call; waits for
   * `replicas` of them, at most a second after WAIT was sent. Rejects as `within` does.
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
    // Replies to commands that were sent together arrive in the same turn of the event loop.
    await nextTurn();
    const replicas = this.#next?.replicas ?? 0;
    this.#next = undefined;
    const command = this.#connection.client.wait(replicas, WAIT_TIMEOUT_MS);
    return this.#connection.within(WAIT_TIMEOUT_MS + 500, "WAIT", command);
  }
}
