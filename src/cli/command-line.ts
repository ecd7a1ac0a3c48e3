/** `sekisho`: the commands, their options, and their exit codes. */
import { Command, CommanderError } from "commander";
import { ConfigError } from "../runtime/config/config-error.js";
import { EXIT, type ExitCode } from "../runtime/exit-codes.js";
import { packageVersion } from "../runtime/package-version.js";
import type { CommandContext } from "./command-context.js";
import { addLogCommand } from "./log.js";
import { addNodesCommand } from "./nodes.js";
import { addRevokeCommand } from "./revoke.js";
import { addSessionsCommand } from "./sessions-command.js";
import { faultsOfNames } from "./variables.js";

/** Runs the command in `argv` (as Node gives it) and returns the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<ExitCode> {
  // A closed pipe must not end the command: its exit code still says what was done.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  let code: ExitCode = EXIT.done;
  const context: CommandContext = { env: process.env, end: (ended) => (code = ended) };
  const program = commandLine(context);
  try {
    await program.parseAsync([...argv]);
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (error instanceof ConfigError) {
      const command = argv.slice(2).filter((word) => /^[a-z]+$/.test(word))[0] ?? "";
      process.stderr.write(`sekisho ${command}: ${error.message}\n`);
      return EXIT.usage;
    }
    throw error;
  }
}

function commandLine(context: CommandContext): Command {
  const program = new Command("sekisho")
    .description("Instant JWT revocation for Envoy.")
    .version(packageVersion(), "--version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .exitOverride()
    .addHelpText(
      "after",
      "\nConfiguration is by variables SEKISHO_*: see the README. Exit codes: 0 done, 1 failed, " +
        "2 wrong\nusage or configuration, 3 published but not confirmed by every node.",
    );
  program
    .command("authz")
    .description("run the sidecar: Envoy's external authorization over gRPC")
    .action(async () => {
      const { runAuthz } = await import("../authz/run-authz.js");
      context.end(await runAuthz(context.env, faultsOfNames(context.env)));
    });
  addSessionsCommand(program, context);
  addRevokeCommand(program, context);
  addNodesCommand(program, context);
  addLogCommand(program, context);
  listCommandsWhereUnknown(program);
  return program;
}

/** An unknown command is answered with a list of the known ones, on each level. */
function listCommandsWhereUnknown(command: Command): void {
  if (command.commands.length === 0) return;
  command.helpCommand(false).configureOutput({
    outputError: (message, write) => {
      write(message);
      // A command with an action of its own would take an unknown one for an excess argument.
      if (/unknown command|too many arguments/.test(message)) write(commandList(command));
    },
  });
  command.commands.forEach(listCommandsWhereUnknown);
}

function commandList(command: Command): string {
  const width = Math.max(8, ...command.commands.map((one) => one.name().length)) + 2;
  const lines = command.commands.map(
    (one) => `  ${one.name().padEnd(width)}${one.description()}\n`,
  );
  return `The commands are:\n${lines.join("")}`;
}
