/**
 * An open loop: request i is due at start + i / rate, whatever became of those before it.
 *
 * A latency is counted from the moment at which a request was due. Were it counted from the sending,
 * a server that stalls would also stall the sending, and the requests that a real client would have
 * made meanwhile would not be missed by anyone.
 *
 *   due        its moment has come at a tick                      -> in flight, or the run breaks off
 *                                                                    if too many are
 *   in flight  the whole answer is there                          -> answered: latency, then judged
 *              it fails, or has been due for longer than allowed  -> failed
 *
 * The run is over when every request was sent and is no longer in flight. Nothing here keeps time:
 * the caller of `tick` does, and a tick that comes late sends everything that has become due.
 */

/** A request sent this much after its moment counts as late. */
export const LATE_MS = 1;

export interface OpenLoopPlan {
  /** When the first request is due, by the clock of `nowMs`. */
  readonly startMs: number;
  readonly count: number;
  readonly ratePerS: number;
  readonly inFlightMax: number;
  readonly answerTimeoutMs: number;
}

export interface Exchange<A> {
  /** Settles with the whole answer. */
  readonly answered: Promise<A>;
  /** Makes `answered` reject. */
  abandon(): void;
}

export interface OpenLoopDependencies<A> {
  readonly nowMs: () => number;
  readonly send: (index: number) => Exchange<A>;
  /** What is wrong with an answer; undefined: nothing. Called after the time was taken. */
  readonly faultOf: (answer: A, index: number) => string | undefined;
}

export interface OpenLoopResult {
  /** When the first request was due. */
  readonly startMs: number;
  /** By request; NaN for those that failed. */
  readonly latenciesMs: Float64Array<ArrayBuffer>;
  readonly lateSends: number;
  readonly latestSendMs: number;
  readonly failures: number;
  /** What was wrong the first time. */
  readonly firstFailure: string | undefined;
}

export class OpenLoop<A> {
  /** Rejects when too many requests are in flight. */
  readonly result: Promise<OpenLoopResult>;
  readonly #plan: OpenLoopPlan;
  readonly #parts: OpenLoopDependencies<A>;
  /** In the order in which they are due. */
  readonly #inFlight = new Map<number, Exchange<A>>();
  readonly #latenciesMs: Float64Array<ArrayBuffer>;
  readonly #settle: PromiseSettlers;
  /** Less than planned once it was stopped. */
  #count: number;
  #over = false;
  #sent = 0;
  #lateSends = 0;
  #latestSendMs = 0;
  #failures = 0;
  #firstFailure: string | undefined;

  constructor(plan: OpenLoopPlan, parts: OpenLoopDependencies<A>) {
    this.#plan = plan;
    this.#count = plan.count;
    this.#parts = parts;
    this.#latenciesMs = new Float64Array(plan.count).fill(NaN);
    const { promise, ...settle } = settlersOf();
    this.result = promise;
    this.#settle = settle;
  }

  get sent(): number {
    return this.#sent;
  }

  tick(): void {
    if (this.#over) return;
    const nowMs = this.#parts.nowMs();
    this.#abandonOverdue(nowMs);
    while (this.#sent < this.#count && this.#dueMs(this.#sent) <= nowMs) {
      if (this.#inFlight.size >= this.#plan.inFlightMax) {
        this.#breakOff();
        return;
      }
      this.#sendNext();
    }
  }

  /** Sends no more; over once nothing is in flight. */
  stop(): void {
    this.#count = Math.min(this.#count, this.#sent);
    this.#endIfDone();
  }

  #dueMs(index: number): number {
    return this.#plan.startMs + (index * 1000) / this.#plan.ratePerS;
  }

  #sendNext(): void {
    const index = this.#sent;
    this.#sent += 1;
    const dueMs = this.#dueMs(index);
    const lateMs = this.#parts.nowMs() - dueMs;
    if (lateMs > LATE_MS) this.#lateSends += 1;
    this.#latestSendMs = Math.max(this.#latestSendMs, lateMs);
    const exchange = this.#parts.send(index);
    this.#inFlight.set(index, exchange);
    exchange.answered.then(
      (answer) => {
        const latencyMs = this.#parts.nowMs() - dueMs;
        const fault = this.#parts.faultOf(answer, index);
        if (fault === undefined) this.#latenciesMs[index] = latencyMs;
        this.#finish(index, fault);
      },
      (error: unknown) => {
        this.#finish(index, error instanceof Error ? error.message : String(error));
      },
    );
  }

  #finish(index: number, fault: string | undefined): void {
    this.#inFlight.delete(index);
    if (fault !== undefined) {
      this.#failures += 1;
      this.#firstFailure ??= `request ${index}: ${fault}`;
    }
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#over || this.#sent < this.#count || this.#inFlight.size > 0) return;
    this.#over = true;
    this.#settle.resolve({
      startMs: this.#plan.startMs,
      latenciesMs: this.#latenciesMs.subarray(0, this.#sent),
      lateSends: this.#lateSends,
      latestSendMs: this.#latestSendMs,
      failures: this.#failures,
      firstFailure: this.#firstFailure,
    });
  }

  #abandonOverdue(nowMs: number): void {
    for (const [index, exchange] of this.#inFlight) {
      if (nowMs - this.#dueMs(index) <= this.#plan.answerTimeoutMs) return;
      exchange.abandon();
    }
  }

  #breakOff(): void {
    this.#over = true;
    for (const exchange of this.#inFlight.values()) exchange.abandon();
    const { inFlightMax, ratePerS } = this.#plan;
    const first = this.#firstFailure === undefined ? "" : `; first failure: ${this.#firstFailure}`;
    this.#settle.reject(
      new Error(
        `${inFlightMax} requests are in flight and unanswered at ${ratePerS} requests/s: ` +
          `this machine does not keep up${first}`,
      ),
    );
  }
}

interface PromiseSettlers {
  resolve(result: OpenLoopResult): void;
  reject(error: Error): void;
}

function settlersOf(): PromiseSettlers & { readonly promise: Promise<OpenLoopResult> } {
  let settlers: PromiseSettlers | undefined;
  const promise = new Promise<OpenLoopResult>((resolve, reject) => {
    settlers = { resolve, reject };
  });
  if (settlers === undefined) throw new Error("a promise did not start");
  return { promise, ...settlers };
}
