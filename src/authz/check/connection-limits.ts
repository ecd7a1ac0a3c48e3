/**
 * When a connection of the gRPC port ends, and which one yields. Pure: `check-connections.ts` has
 * the sockets.
 *
 * Envoy opens a few connections. Its requests arrive complete and are answered at once. Any other
 * client of the port can hold silent connections, begin requests and not finish them, or send frames
 * that belong to no request. The first cause that applies, in this order:
 *
 *   silent       nothing was received for SILENT_MAX_MS after it was opened         destroyed
 *   flooding     too many bytes were received that belong to no request             destroyed
 *   idle         no request for as long as configured                               closed
 *   aged         open for as long as configured                                     closed
 *   resetting    too many requests were reset                                       closed
 *   unfinished   too many requests are open, most of them on this connection        destroyed
 *   yielding     too many connections are open, and this one is used least          destroyed
 *
 * Closed means GOAWAY: open requests are answered first, and the socket is destroyed after
 * CLOSING_MAX_MS at the latest. A request that the client sent before it saw the GOAWAY is refused
 * unprocessed (REFUSED_STREAM), so that it can be sent again: Node has no GOAWAY that only announces
 * the end (RFC 9113, section 6.8), and ignores requests after each.
 */

export interface ConnectionLimits {
  readonly connectionsMax: number;
  readonly idleMaxMs: number;
  /** Infinity: connections do not age. */
  readonly ageMaxMs: number;
}

export const END_CAUSES = [
  "silent",
  "flooding",
  "idle",
  "aged",
  "resetting",
  "unfinished",
  "yielding",
] as const;
export type EndCause = (typeof END_CAUSES)[number];

export const SILENT_MAX_MS = 5_000;
export const CLOSING_MAX_MS = 5_000;
/** A request that is not complete after that is cancelled; Envoy sends each at once. */
export const REQUEST_MAX_MS = 5_000;
/** Bytes per second that belong to no request. */
const FLOOD_BYTES_PER_S = 10 * 1024 * 1024;
/** The bytes that an answered request may account for: the largest message and its headers. */
const ANSWERED_MAX_BYTES = 160 * 1024;
/** The bytes that an unanswered request may account for: a token and its headers. */
const UNANSWERED_MAX_BYTES = 16 * 1024;
/**
 * How many requests may be reset. nghttp2 ends a connection, with everything in flight, after 1,000
 * in a burst or a sustained 33/s. Some of those come after the answer and are not seen here.
 */
const RESETS_MAX = 500;
export const RESETS_PER_S = 33;
/**
 * After so many looks without a byte from the client, its incomplete requests count as unfinished:
 * about a second. In a burst, Envoy sends the headers of all requests first, and their messages wait
 * for the window (RFC 9113, section 5.2). Looks are counted, and not time, because a process that is
 * starved or stopped reads late what its clients have long sent.
 */
export const UNFINISHED_AFTER_LOOKS = 10;
/** Unfinished requests, on all connections. */
export const UNFINISHED_MAX = 256;
/** Requests that are open, finished or not, on all connections. */
export const OPEN_MAX = 4096;

/** Times by the monotonic clock. */
export interface ConnectionFacts {
  readonly sinceMs: number;
  /** When a request last began or ended; before the first, when the connection was opened. */
  readonly usedMs: number;
  readonly open: number;
  readonly answered: number;
  /** When a request was last answered. */
  readonly answeredMs: number | undefined;
  /** Requests that were reset, less RESETS_PER_S. */
  readonly resets: number;
}

/** What was received since the last look. */
export interface Received {
  readonly elapsedMs: number;
  readonly bytes: number;
  readonly bytesEver: number;
  readonly opened: number;
  readonly answered: number;
}

/** Why the connection ends; undefined: it goes on. Called at every look. */
export function endCause(
  facts: ConnectionFacts,
  received: Received,
  limits: ConnectionLimits,
  nowMs: number,
): EndCause | undefined {
  if (received.bytesEver === 0 && nowMs - facts.sinceMs >= SILENT_MAX_MS) return "silent";
  const bytesMax =
    (FLOOD_BYTES_PER_S / 1000) * Math.max(received.elapsedMs, 100) +
    received.answered * ANSWERED_MAX_BYTES +
    received.opened * UNANSWERED_MAX_BYTES;
  if (received.bytes > bytesMax) return "flooding";
  if (facts.open === 0 && nowMs - facts.usedMs >= limits.idleMaxMs) return "idle";
  return nowMs - facts.sinceMs >= limits.ageMaxMs ? "aged" : undefined;
}

/**
 * Whether more requests were reset than a connection may. Envoy sends at most 500 over one
 * (`max_requests_per_connection` in envoy.yaml), so it stays below even if all of them are aborted.
 */
export function isResetting({ resets }: Pick<ConnectionFacts, "resets">): boolean {
  return resets > RESETS_MAX;
}

/**
 * Which connection yields to a new one: the oldest of those that were never answered, else the one
 * without open requests whose last answer is the longest ago. Envoy's are answered all the time.
 */
export function yieldingOf<C extends ConnectionFacts>(
  connections: Iterable<C>,
  newest: C,
): C | undefined {
  let found: C | undefined;
  for (const one of connections) {
    if (one === newest || (one.answeredMs !== undefined && one.open > 0)) continue;
    if (found === undefined || isOfLessUse(one, found)) found = one;
  }
  return found;
}

function isOfLessUse(one: ConnectionFacts, other: ConnectionFacts): boolean {
  if (one.answeredMs === undefined || other.answeredMs === undefined) {
    if (one.answeredMs !== other.answeredMs) return one.answeredMs === undefined;
    return one.sinceMs < other.sinceMs;
  }
  return one.answeredMs < other.answeredMs;
}
