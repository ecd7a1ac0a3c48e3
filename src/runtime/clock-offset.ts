/** How far another machine's clock is from ours, measured by one request and its reply. */
import type { Moment } from "./clock.js";

/** The other wall clock's time, in milliseconds since the Unix epoch, and when it was received. */
export interface HeardClock {
  readonly serverMs: number;
  readonly sentAt: Moment;
  readonly receivedAt: Moment;
}

/**
 * Milliseconds by which the other clock is ahead of ours, at least; negative: behind. 0 if its time
 * lies between sending and receiving: the round trip is no clock difference.
 */
export function clockOffsetMs({ serverMs, sentAt, receivedAt }: HeardClock): number {
  if (serverMs < sentAt.wallMs) return serverMs - sentAt.wallMs;
  return Math.max(0, serverMs - receivedAt.wallMs);
}

/** For clocks that differ too much. `whose`: the owner of the other clock. */
export function describeClockOffset(whose: string, offsetMs: number, allowedMs: number): string {
  return (
    `the clock of ${whose} is ${Math.round(Math.abs(offsetMs))} ms ` +
    `${offsetMs < 0 ? "behind" : "ahead of"} this machine's, allowed are ${allowedMs} ms: ` +
    "set the clocks (NTP)"
  );
}
