/**
 * How many callers may wait for a receipt. Each check of the nodes' rows compares every wait with
 * every node, and while a node is slow, each wait lasts as long as its caller asked for. So the
 * number is limited in total, and per actor, because one actor could otherwise block all others by
 * ending the same session again and again. A caller over the quota is answered at once and without
 * the nodes; the revocation is in force all the same.
 */
export interface QuotaBounds {
  readonly inAllMax: number;
  readonly perActorMax: number;
}

const DEFAULT_BOUNDS: QuotaBounds = { inAllMax: 512, perActorMax: 64 };

export class WaiterQuota {
  readonly #bounds: QuotaBounds;
  /** How many waits each actor has; actors without any are left out. */
  readonly #taken = new Map<string, number>();
  #inAll = 0;

  constructor(bounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  /** If true, call `leave` afterwards. `actor`: as in the audit trail. */
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
