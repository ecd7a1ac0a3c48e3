/** Tells servers apart, whatever their technology. */
import type { LogMeta, LogServer } from "./revocation-log.js";

/** A server without these ids cannot be told from another one. */
export function isIdentified({ runId, replId }: LogServer): boolean {
  return runId !== undefined && replId !== undefined;
}

/** Whether this is the server, in the state of its replication, for which the log is complete. */
export function isProvenServer(
  meta: Pick<LogMeta, "runId" | "replId">,
  server: Pick<LogServer, "runId" | "replId">,
): boolean {
  return meta.replId !== undefined && sameServer(meta, server);
}

/**
 * Whether this is the server for which the log is complete, as far as the log says. The session service
 * of the first version records no replication ID: with it a server that was demoted and promoted again
 * goes unnoticed. Nodes follow its log all the same, because they are upgraded before the service.
 */
export function sameServer(
  meta: Pick<LogMeta, "runId" | "replId">,
  server: Pick<LogServer, "runId" | "replId">,
): boolean {
  const known = meta.runId !== "" && meta.runId === server.runId;
  return known && (meta.replId === undefined || meta.replId === server.replId);
}

export function unidentifiedServer({ runId, description }: LogServer): string {
  const missing = runId === undefined ? "run_id" : "master_replid";
  return (
    `the server at ${description} does not say its ${missing} in INFO, so a restart or a failover ` +
    "would go unnoticed: point SEKISHO_REDIS_URL at Redis itself, not at a proxy or a look-alike"
  );
}
