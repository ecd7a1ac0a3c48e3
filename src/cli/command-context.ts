import type { ExitCode } from "../runtime/exit-codes.js";

/** A command's environment, and the callback that takes its exit code. */
export interface CommandContext {
  readonly env: NodeJS.ProcessEnv;
  end(code: ExitCode): void;
}
