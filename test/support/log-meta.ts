/** The facts of a log in order, for unit tests. */
import type { LogMeta, LogServer } from "../../src/revocation-log/revocation-log.js";

export const META: LogMeta = {
  generation: "g1",
  seq: 10,
  firstSeq: 4,
  runId: "run-1",
  replId: "repl-1",
  authority: "redis",
  horizonS: 970,
  partitions: 1,
  coversFromMs: 0,
  minReplicas: 0,
  keptAtMs: undefined,
  retiredAtMs: undefined,
  format: 1,
  restoring: false,
};

/** The server that it is the log of. */
export const SERVER: LogServer = {
  runId: "run-1",
  replId: "repl-1",
  replicas: 0,
  description: "redis:6379",
};
