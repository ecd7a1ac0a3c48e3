/** The life of a program that runs until a signal stops it: start, signals, exit code. */
import { serviceLinks } from "./config/kubernetes-service-links.js";
import type { Logger, ProgramLog } from "./log.js";
import { EXIT, type ExitCode } from "./exit-codes.js";

/** An orderly shutdown takes less; a platform that waits ten seconds must not have to kill. */
const CLOSE_TIMEOUT_MS = 9000;
/** A namespace may have many Services; the first names show which they are. */
const NAMES_SHOWN_MAX = 8;

/** Logs that variables set by Kubernetes were ignored; nothing where there are none. */
export function logServiceLinks(log: Logger, env: NodeJS.ProcessEnv): void {
  const names = serviceLinks(env);
  if (names.length === 0) return;
  log.info(
    { count: names.length, variables: names.slice(0, NAMES_SHOWN_MAX) },
    "ignored variables that Kubernetes sets for Services named sekisho: " +
      "`enableServiceLinks: false` in the pod keeps them out",
  );
}
/** For the message of a program that cannot start: its output may have no reader. */
const MESSAGE_TIMEOUT_MS = 1000;

/**
 * Runs until SIGTERM or SIGINT. Where `start` rejects, its message goes to standard error, and the
 * exit code says that the settings or the environment are wrong.
 */
export async function runUntilStopped(
  name: string,
  { log, flush }: ProgramLog,
  start: () => Promise<{ close(): Promise<void> }>,
): Promise<ExitCode> {
  exitOnBugs(log, flush);
  // Before the start, so that a signal during it is not lost.
  const asked = untilSignal();
  let running: { close(): Promise<void> };
  try {
    running = await start();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    await writeBounded(`sekisho ${name}: ${message}\n`);
    flush();
    // Output that was not written in time must not keep the process alive.
    process.exit(EXIT.usage);
  }
  await asked;
  log.info("closing");
  const overdue = setTimeout(() => {
    log.warn("closing took too long: exiting now");
    flush();
    process.exit(EXIT.done);
  }, CLOSE_TIMEOUT_MS);
  await running.close();
  clearTimeout(overdue);
  log.info("closed");
  flush();
  // Only a stream that a client holds open may be left: grpc-js cannot cut its connection (it knows
  // connections only with channelz), and it would keep this process alive.
  process.exit(EXIT.done);
}

/**
 * Until SIGTERM or SIGINT; a second one ends the process at once. The handlers stay: without one for a
 * moment, a signal that came just then would end the process as if it had none.
 */
function untilSignal(): Promise<void> {
  return new Promise((resolve) => {
    let count = 0;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.on(signal, () => {
        count += 1;
        if (count > 1) process.exit(EXIT.failed);
        resolve();
      });
    }
  });
}

function writeBounded(message: string): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, MESSAGE_TIMEOUT_MS);
    process.stderr.write(message, () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** After a bug, a process must not go on answering from an unforeseen state. */
function exitOnBugs(log: Logger, flush: () => void): void {
  const end = (error: unknown): void => {
    log.fatal({ err: error }, "unexpected error: this process ends");
    flush();
    process.exit(EXIT.failed);
  };
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}
