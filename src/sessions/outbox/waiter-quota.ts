/**
 * Who may wait for a receipt. A look at the nodes' rows compares every wait with every node, and while
 * a node is slow each wait takes all the time that its caller asked for. So there are so many places
 * in all, and only some of them for one actor, who could otherwise keep everybody else out by ending
 * the same session again and again. Whoever finds no place is answered at once and learns nothing of
 * the nodes; the revocation is in force all the same.
 */
export interface QuotaBounds {
  readonly inAllMax: number;
  readonly perActorMax: number;
}

const PLACE_BOUNDS: QuotaBounds = { inAllMax: 512, perActorMax: 64 };

export class WaiterQuota {
  readonly #bounds: QuotaBounds;
  /** How many each actor has; nobody is in it with none. */
  readonly #taken = new Map<string, number>();
  #inAll = 0;

  constructor(bounds = PLACE_BOUNDS) {
    this.#bounds = bounds;
  }

  /** To be given back with `leave` where it says true. `actor`: as in the audit trail. */
  take(actor: string): boolean {
    const has = this.#taken.get(actor) ?? 0;
    const { inAllMax, perActorMax } = this.#bounds;
    if (this.#inAll >= inAllMax || has >= perActorMax) return false;
    this.#inAll += 1;
    this.#taken.set(actor, has + 1);
    return true;
  }

  leave(actor: string): void {
    const left = (this.#taken.get(actor) ?? 0) - 1;
    this.#inAll -= 1;
    if (left > 0) this.#taken.set(actor, left);
    else this.#taken.delete(actor);
  }
}
