/** The `sekisho sessions` process, and the command that runs beside it. */
import { systemClock } from "../runtime/clock.js";
import type { ConfigFault } from "../runtime/config/read-variables.js";
import { readMaintenanceConfig, readSessionsConfig } from "./sessions-config.js";
import { DatabaseError, type Database } from "./database/database.js";
import { openLog } from "../runtime/log.js";
import { afterRestore } from "./outbox/after-restore.js";
import { CUT_OFF_MARGIN_S } from "../revocation-log/horizon.js";
import { commandActor } from "../runtime/command-actor.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { openDatabase } from "./open-database.js";
import { logServiceLinks, runUntilStopped } from "../runtime/program-life.js";
import { startSessions } from "./sessions.js";

/**
 * On top of the skew: the log's margin for cut-offs, and a second because tokens have whole ones.
 */
const FRESH_AFTER_S = CUT_OFF_MARGIN_S + 1;

/** Runs until SIGTERM or SIGINT. Throws a ConfigError for invalid configuration. */
export async function runSessions(
  env: NodeJS.ProcessEnv,
  unknown: readonly ConfigFault[],
): Promise<ExitCode> {
  const config = readSessionsConfig(env, unknown);
  const programLog = openLog(config.logLevel, {});
  logServiceLinks(programLog.log, env);
  return runUntilStopped("sessions", programLog, () => startSessions(config, programLog.log));
}

export async function endEverythingAfterRestore(
  env: NodeJS.ProcessEnv,
  unknown: readonly ConfigFault[],
): Promise<ExitCode> {
  const config = readMaintenanceConfig(env, unknown);
  let db: Database | undefined;
  try {
    db = await openDatabase(config.database);
    await db.migrate();
    const { tenants, users, sessions } = await afterRestore(db, systemClock, commandActor());
    process.stdout.write(
      `Raised the epochs of ${users} users in ${tenants} tenants and ended ${sessions} sessions.\n` +
        "The session service publishes this when it starts. Nodes answer tokens from before now as stale\n" +
        "until they have expired, if their users are missing from this database.\n" +
        `The same applies to logins within the next ${config.clockSkewS + FRESH_AFTER_S} s: start the service after that.\n`,
    );
    return EXIT.done;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    process.stderr.write(`sekisho sessions after-restore: nothing was changed: ${error.message}\n`);
    return EXIT.failed;
  } finally {
    await db?.close();
  }
}
