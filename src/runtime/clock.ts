/**
 * Time as the programs see it. It is passed in everywhere, so that a test can hold it still.
 *
 * Two clocks, because each lies in its own way: the wall clock can be set back or forth, and the
 * monotonic clock does not count the time that the machine was suspended.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, whole. */
  wallMs(): number;
  /** Milliseconds since an arbitrary moment, with fractions; never falls. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** One moment on both clocks. */
export interface Moment {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export function momentOf(clock: Clock): Moment {
  return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
}

/**
 * Milliseconds from `start` to `end` on whichever clock says more. Used wherever a too short
 * answer would be the dangerous one (staleness).
 */
export function elapsedAtLeastMs(start: Moment, end: Moment): number {
  return Math.max(end.wallMs - start.wallMs, end.monotonicMs - start.monotonicMs);
}

/** The first whole Unix second after `nowMs`: whatever bears an earlier one was issued by now. */
export function nextSecond(nowMs: number): number {
  return Math.floor(nowMs / 1000) + 1;
}
