import type { Moment } from "./clock.js";

/**
 * A moment in the future that has passed only when both clocks have passed it, so that setting one
 * clock forward cannot make it pass early.
 */
export interface Deadline {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** The deadline at `wallMs` (Unix milliseconds), seen from `now`. */
export function deadlineAt(wallMs: number, now: Moment): Deadline {
  return { wallMs, monotonicMs: now.monotonicMs + (wallMs - now.wallMs) };
}

export function hasPassed(deadline: Deadline, now: Moment): boolean {
  return now.wallMs >= deadline.wallMs && now.monotonicMs >= deadline.monotonicMs;
}

/** The later of two deadlines, on each clock by itself. */
export function laterOf(a: Deadline | undefined, b: Deadline): Deadline {
  if (a === undefined) return b;
  return {
    wallMs: Math.max(a.wallMs, b.wallMs),
    monotonicMs: Math.max(a.monotonicMs, b.monotonicMs),
  };
}
