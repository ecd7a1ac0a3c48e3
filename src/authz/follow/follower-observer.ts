/** What a follower tells of its log, for log lines and metrics. */
import type { LogEntry } from "../../revocation-log/entry.js";
import type { LogProblem } from "./log-examination.js";
import type { ResyncCause } from "./log-order.js";

export interface FollowerObserver {
  /** `lagMs`: from publishing to applying; undefined for what was read while paging. */
  applied(entry: LogEntry, lagMs: number | undefined): void;
  /** The whole log is being read. */
  resync(cause: ResyncCause, why: string): void;
  /** The log was restored without loss: only what is new in it is being read. */
  continued(): void;
  /** What keeps the node from being in sync has changed; undefined: it is in sync. */
  problem(problem: LogProblem | undefined): void;
  /** Redis has replicas, but none has to confirm: a failover may lose revocations. */
  unprotectedFailover(replicas: number): void;
}
