/** Tells servers apart, whatever their technology. */
import type { LogMeta, LogServer } from "./revocation-log.js";

/** A server without these ids cannot be told from another one. */
export function isIdentified({ runId, replId }: LogServer): boolean {
  return runId !== undefined && replId !== undefined;
}

/** Whether this is the server, in the state of its replication, for which the log is complete. */
export function sameServer(
  meta: Pick<LogMeta, "runId" | "replId">,
  server: Pick<LogServer, "runId" | "replId">,
): boolean {
  const known = meta.runId !== "" && meta.replId !== undefined;
  return known && meta.runId === server.runId && meta.replId === server.replId;
}

export function unidentifiedServer({ runId, description }: LogServer): string {
  const missing = runId === undefined ? "run_id" : "master_replid";
  return (
    `the server at ${description} does not say its ${missing} in INFO, so a restart or a failover ` +
    "would go unnoticed: point SEKISHO_REDIS_URL at Redis itself, not at a proxy or a look-alike"
  );
}
