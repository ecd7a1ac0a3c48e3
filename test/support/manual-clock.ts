import type { Clock } from "../../src/runtime/clock.js";

/** A clock that moves only when told to. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 5_000;

  constructor(wallMs = 1_800_000_000_000) {
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Time passes on both clocks. */
  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  /** Somebody sets the wall clock. */
  setWall(byMs: number): void {
    this.#wallMs += byMs;
  }

  /** The machine slept: only the wall clock has gone on. */
  suspend(ms: number): void {
    this.#wallMs += ms;
  }

  /** Only the monotonic clock goes on, as where the wall clock is held back. */
  advanceMonotonic(ms: number): void {
    this.#monotonicMs += ms;
  }
}
