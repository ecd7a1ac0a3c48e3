/** Telling servers apart, whatever technology they are of. */
import type { LogMeta, LogServer } from "./revocation-log.js";

/** Two servers that do not say who they are cannot be told apart. */
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

/** In words, with what the server does say. */
export function unidentifiedServer({ runId, description }: LogServer): string {
  const missing = runId === undefined ? "run_id" : "master_replid";
  return (
    `the server at ${description} does not say its ${missing} in INFO, so a restart or a failover ` +
    "could not be noticed: point SEKISHO_REDIS_URL at Redis itself, not at a proxy or a look-alike"
  );
}
