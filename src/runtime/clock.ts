/**
 * The programs' time. It is passed in everywhere, so that a test can control it.
 *
 * Two clocks, because each can be wrong: the wall clock can be set back or forward, and the monotonic
 * clock does not count the time that the machine was suspended.
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
 * Milliseconds from `start` to `end`, by the clock that shows more. For durations that must not be
 * underestimated (staleness).
 */
export function elapsedAtLeastMs(start: Moment, end: Moment): number {
  return Math.max(end.wallMs - start.wallMs, end.monotonicMs - start.monotonicMs);
}

/** The first whole Unix second after `nowMs`: what has an earlier `iat` was issued by now. */
export function nextSecond(nowMs: number): number {
  return Math.floor(nowMs / 1000) + 1;
}
