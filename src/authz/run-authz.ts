/** The life of the `sekisho authz` process. */
import { setLogger } from "@grpc/grpc-js";
import type { ConfigFault } from "../runtime/config/read-variables.js";
import { readAuthzConfig } from "./authz-config.js";
import { openLog } from "../runtime/log.js";
import { startAuthz } from "./authz.js";
import type { ExitCode } from "../runtime/exit-codes.js";
import { logServiceLinks, runUntilStopped } from "../runtime/program-life.js";

/** Runs until SIGTERM or SIGINT. Throws a ConfigError for what cannot be used. */
export async function runAuthz(
  env: NodeJS.ProcessEnv,
  unknown: readonly ConfigFault[],
): Promise<ExitCode> {
  const config = readAuthzConfig(env, unknown);
  const programLog = openLog(config.logLevel, { node: config.nodeId });
  const { log } = programLog;
  logServiceLinks(log, env);
  // Otherwise grpc-js writes to standard error. What matters in it also arrives as errors.
  const logGrpc = (message: unknown): void => log.debug({ grpc: String(message) }, "grpc");
  setLogger({ error: logGrpc, info: logGrpc, debug: logGrpc });
  return runUntilStopped("authz", programLog, () => startAuthz(config, log));
}
