/**
 * Limits the publisher: a maximum in flight, a maximum waiting, and a cool-down after a
 * failure.
 *
 * A hanging Redis costs its callers a timeout, but only once and not one after the other. After an
 * attempt that did not reach Redis, all calls are refused at once, until a single attempt after the
 * cool-down succeeds. A refused call loses nothing: the relay publishes it.
 */
import type { Clock } from "../../runtime/clock.js";
import type {
  Publisher,
  PublishOutcome,
  DecidedRevocation,
} from "../../revocation-log/publisher.js";

const IN_FLIGHT_MAX = 32;
const WAITING_MAX = 4096;
const COOLDOWN_MS = 250;

export type BreakerOutcome =
  | PublishOutcome
  | { readonly published: false; readonly code: "overloaded"; readonly message: string };

const OPEN = {
  published: false,
  code: "unreachable",
  message: "Redis was unreachable a moment ago; the relay will publish this",
} as const;

const OVERLOADED = {
  published: false,
  code: "overloaded",
  message: "too many revocations are waiting to be published",
} as const;

export class PublishCircuitBreaker {
  readonly #publisher: Publisher;
  readonly #clock: Clock;
  readonly #waiting: (() => void)[] = [];
  #inFlight = 0;
  /** When Redis was last unreachable, if it has not been reached since; monotonic. */
  #failedAtMs: number | undefined;
  #probing = false;

  constructor(publisher: Publisher, clock: Clock) {
    this.#publisher = publisher;
    this.#clock = clock;
  }

  /** Never rejects. Attempts begin in the order of the calls. */
  async publish(request: DecidedRevocation): Promise<BreakerOutcome> {
    if (this.#isOpen()) return OPEN;
    if (this.#inFlight < IN_FLIGHT_MAX) this.#inFlight += 1;
    else if (this.#waiting.length >= WAITING_MAX) return OVERLOADED;
    // A finished call hands its slot to the next one.
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return this.#isOpen() ? OPEN : await this.#attempt(request);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inFlight -= 1;
      else next();
    }
  }

  #isOpen(): boolean {
    if (this.#failedAtMs === undefined) return false;
    return this.#probing || this.#clock.monotonicMs() - this.#failedAtMs < COOLDOWN_MS;
  }

  async #attempt(request: DecidedRevocation): Promise<PublishOutcome> {
    const isProbe = this.#failedAtMs !== undefined;
    if (isProbe) this.#probing = true;
    try {
      const outcome = await this.#publisher.publish(request);
      const unreached = !outcome.published && outcome.code === "unreachable";
      this.#failedAtMs = unreached ? this.#clock.monotonicMs() : undefined;
      return outcome;
    } finally {
      if (isProbe) this.#probing = false;
    }
  }
}
