/** What a follower remembers from one connection to the next. */
import type { Moment } from "../clock/clock.js";
import type { AppliedUpTo, ResyncCause } from "./log-order.js";
import type { LogMeta } from "./revocation-log.js";

export type FollowerState = "connecting" | "examining" | "paging" | "following" | "closed";

/** How far the local state can be relied on. */
export interface Freshness {
  /** The moment as of which everything published was applied; undefined: never yet. */
  readonly provenAt: Moment | undefined;
  /** Unix milliseconds; the log holds every revocation since then. */
  readonly coversFromMs: number;
}

export interface FollowerMemory {
  state: FollowerState;
  freshness: Freshness;
  /** The last entry applied; kept over everything but a new generation. */
  applied: AppliedUpTo | undefined;
  /** Why the whole log has to be read next; undefined while there is where to go on. */
  resync: { readonly cause: ResyncCause; readonly why: string } | undefined;
  /** Where to go on; undefined: the whole log has to be read. */
  joined: Joined | undefined;
  /** The group made last, joined or not. */
  lastGroup: string | undefined;
  groupsMade: number;
  /** Monotonic milliseconds. */
  reportedAtMs: number;
  cleanedAtMs: number;
}

/** A consumer group that was made for this log in this server process. */
export interface Joined {
  readonly group: string;
  readonly serverRunId: string;
  readonly meta: LogMeta;
}
