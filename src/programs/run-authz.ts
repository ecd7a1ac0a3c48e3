/** The life of the `sekisho authz` process: configuration, start, signals, exit code. */
import { once } from "node:events";
import { setLogger } from "@grpc/grpc-js";
import { readAuthzConfig } from "../config/authz-config.js";
import { openLog, type Logger } from "../ops/log.js";
import { startAuthz, type RunningAuthz } from "./authz.js";
import { EXIT, type ExitCode } from "./exit-codes.js";

/** An orderly end takes less; a platform that waits ten seconds must not have to kill. */
const CLOSE_TIMEOUT_MS = 9000;

/** Runs until SIGTERM or SIGINT. Throws a ConfigError for what cannot be used. */
export async function runAuthz(env: NodeJS.ProcessEnv): Promise<ExitCode> {
  const config = readAuthzConfig(env);
  const { log, flush } = openLog(config.logLevel, { node: config.nodeId });
  exitOnBugs(log, flush);
  // grpc-js writes to standard error by itself; whatever matters of it is told by its errors, too.
  const tell = (message: unknown): void => log.debug({ grpc: String(message) }, "grpc");
  setLogger({ error: tell, info: tell, debug: tell });
  // Listened for from the beginning, so that a signal during the start is not lost.
  const asked = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
  let running: RunningAuthz;
  try {
    running = await startAuthz(config, log);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`sekisho authz: ${message}\n`);
    flush();
    return EXIT.usage;
  }
  await asked;
  log.info("closing");
  const overdue = setTimeout(() => {
    log.warn("closing took too long: ending as it is");
    flush();
    process.exit(EXIT.done);
  }, CLOSE_TIMEOUT_MS);
  process.once("SIGINT", () => process.exit(EXIT.failed));
  await running.close();
  clearTimeout(overdue);
  log.info("closed");
  flush();
  // Everything was closed in order. A stream that a client holds open is left: grpc-js cannot cut its
  // connection (without channelz it does not know it any more), and it would keep this process.
  process.exit(EXIT.done);
}

/** A bug must not leave a process that answers from a state nobody thought of. */
function exitOnBugs(log: Logger, flush: () => void): void {
  const end = (error: unknown): void => {
    log.fatal({ err: error }, "unexpected error: this process ends");
    flush();
    process.exit(EXIT.failed);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}
