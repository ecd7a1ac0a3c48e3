/** How far another machine's clock is from ours, as one question and its answer tell it. */
import type { Moment } from "./clock.js";

/** What the other wall clock said, in milliseconds since the Unix epoch, and when we heard it. */
export interface HeardClock {
  readonly serverMs: number;
  readonly sentAt: Moment;
  readonly receivedAt: Moment;
}

/**
 * Milliseconds by which the other clock is ahead of ours, at least; negative: behind. 0 if what it
 * said lies between asking and hearing: how long the question was on its way is nobody's fault.
 */
export function clockOffsetMs({ serverMs, sentAt, receivedAt }: HeardClock): number {
  if (serverMs < sentAt.wallMs) return serverMs - sentAt.wallMs;
  return Math.max(0, serverMs - receivedAt.wallMs);
}

/** In words, where the clocks are further apart than they may be. `whose`: the other one's owner. */
export function describeClockOffset(whose: string, offsetMs: number, skewMs: number): string {
  return (
    `the clock of ${whose} is ${Math.round(Math.abs(offsetMs))} ms ` +
    `${offsetMs < 0 ? "behind" : "ahead of"} this machine's, allowed are ${skewMs} ms: ` +
    "set the clocks (NTP), or raise SEKISHO_CLOCK_SKEW_S everywhere"
  );
}
