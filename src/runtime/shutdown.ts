/** Closes a program's parts, each within its own time limit. */
import type { Logger } from "./log.js";
import { withTimeout } from "./with-timeout.js";

export interface ShutdownStep {
  /** For the log. */
  readonly part: string;
  /** After that it is abandoned: the process exits soon, and releases what is left. */
  readonly maxMs: number;
  readonly end: () => Promise<unknown>;
}

/** All at the same time. Never rejects: a part that fails or takes too long is logged. */
export async function shutDown(
  log: Pick<Logger, "warn">,
  steps: readonly ShutdownStep[],
): Promise<void> {
  await Promise.all(steps.map((step) => endOne(log, step)));
}

async function endOne(
  log: Pick<Logger, "warn">,
  { part, maxMs, end }: ShutdownStep,
): Promise<void> {
  try {
    await withTimeout(end(), maxMs, () => new Error(`not within ${maxMs} ms`));
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    log.warn({ part, problem }, "did not end in order");
  }
}
