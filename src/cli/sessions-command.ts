/**
 * `sekisho sessions`: the session service, and its operator commands. Each is loaded only on demand:
 * neither the sidecar nor a short command should load the database and the web server.
 */
import type { Command } from "commander";
import type { CommandContext } from "./command-context.js";
import { parseId } from "./option-values.js";
import { faultsOfNames } from "./variables.js";

export function addSessionsCommand(program: Command, context: CommandContext): void {
  const sessions = program
    .command("sessions")
    .description("run the session service: login, refresh, logout, revocation, audit")
    .action(async () => {
      const { runSessions } = await import("../sessions/run-sessions.js");
      context.end(await runSessions(context.env, faultsOfNames(context.env)));
    });
  sessions
    .command("admin")
    .description("operators: those who may act in every tenant")
    .command("create")
    .description("create an operator and print a password for one login")
    .requiredOption("--login <name>", "by which the operator logs in", parseId)
    .option("--json", "answer in JSON")
    .action(async ({ login, json }: { login: string; json?: true }) => {
      const { createFirstOperator } = await import("../sessions/admin-create.js");
      const unknown = faultsOfNames(context.env);
      const options = { login, json: json === true };
      context.end(await createFirstOperator(context.env, unknown, options));
    });
  sessions
    .command("after-restore")
    .description("end every session, after the database was brought back from a backup")
    .action(async () => {
      const { endEverythingAfterRestore } = await import("../sessions/run-sessions.js");
      context.end(await endEverythingAfterRestore(context.env, faultsOfNames(context.env)));
    });
}
