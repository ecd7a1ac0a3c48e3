/** The ops port under attack: checks and probes go on, and memory stays. */
import { testAttacks } from "../support/attacked-node.js";
import { idleSockets, pipelines, slowReaders, slowWriters } from "../support/ops-attacks.js";

testAttacks("ops port", ({ opsUrl }) => opsUrl, [
  ["64 pipelines of /metrics that are not read", (url) => pipelines(url, 64, "/metrics")],
  ["one pipeline of /metrics that is not read", (url) => pipelines(url, 1, "/metrics")],
  ["64 pipelines of /statusz that are not read", (url) => pipelines(url, 64, "/statusz")],
  ["64 pipelines of /readyz that are not read", (url) => pipelines(url, 64, "/readyz")],
  ["100 idle sockets", (url) => idleSockets(url, 100)],
  ["64 readers that never read", (url) => slowReaders(url, 64)],
  ["100 writers of a byte at a time", (url) => slowWriters(url, 100)],
]);
