import type { ExitCode } from "../runtime/exit-codes.js";

/** What a command is given, and where it leaves its exit code. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  end(code: ExitCode): void;
}
