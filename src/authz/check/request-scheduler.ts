/**
 * The order in which requests are begun: a few per turn of the event loop, one connection after the
 * other. A connection that sends many at once delays its own requests and hardly those of others, and
 * a request that is reset before its turn costs nothing more.
 */

/** How many are begun in one turn: about a millisecond of work. */
const BEGIN_MAX = 16;
/** While more than this many wait, turns are shorter: that costs some throughput, and spares others the wait. */
const BURST = 100;
const BEGIN_MAX_IN_BURST = 4;

export interface ReceivedRequest {
  /** Whether the client has reset it. */
  readonly closed: boolean;
  /** Whether its connection has ended. */
  readonly destroyed: boolean;
}

interface Waiting<R> {
  readonly request: R;
  readonly begin: () => void;
}

export class RequestScheduler<C, R extends ReceivedRequest> {
  /** By connection, the next one first; within each, first come, first served. */
  readonly #waiting = new Map<C, Set<Waiting<R>>>();
  #waitingCount = 0;
  #begun = 0;
  #turnEnd: NodeJS.Immediate | undefined;

  /** Begins the request now or in one of the next turns. */
  add(connection: C, request: R, begin: () => void): void {
    this.#turnEnd ??= setImmediate(this.#nextTurn);
    if (this.#begun < BEGIN_MAX && this.#waiting.size === 0) {
      this.#begun += 1;
      begin();
      return;
    }
    const waiting = this.#waiting.get(connection) ?? new Set();
    this.#waiting.set(connection, waiting.add({ request, begin }));
    this.#waitingCount += 1;
  }

  readonly #nextTurn = (): void => {
    this.#begun = 0;
    this.#turnEnd = this.#waiting.size === 0 ? undefined : setImmediate(this.#nextTurn);
    const beginMax = this.#waitingCount > BURST ? BEGIN_MAX_IN_BURST : BEGIN_MAX;
    for (const [connection, waiting] of this.#waiting) {
      if (this.#begun === beginMax) return;
      this.#waiting.delete(connection);
      this.#waitingCount -= waiting.size;
      const begin = takeNext(waiting);
      this.#waitingCount += waiting.size;
      // Back to the end of the map: its turn comes again after the others.
      if (waiting.size > 0) this.#waiting.set(connection, waiting);
      if (begin === undefined) continue;
      this.#begun += 1;
      begin();
    }
  };
}

function takeNext<R extends ReceivedRequest>(waiting: Set<Waiting<R>>): (() => void) | undefined {
  for (const one of waiting) {
    waiting.delete(one);
    if (!one.request.closed && !one.request.destroyed) return one.begin;
  }
  return undefined;
}
