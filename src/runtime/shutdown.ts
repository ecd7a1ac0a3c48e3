/** The ends of a program's parts: nothing keeps the others waiting for longer than it may. */
import type { Logger } from "./log.js";

export interface ShutdownStep {
  /** For the log. */
  readonly part: string;
  /** After that it is left as it is: the process ends soon, and with it whatever it still had. */
  readonly maxMs: number;
  readonly end: () => Promise<unknown>;
}

/** All at the same time. Never rejects: what fails or takes too long is told. */
export async function shutDown(
  log: Pick<Logger, "warn">,
  endings: readonly ShutdownStep[],
): Promise<void> {
  await Promise.all(endings.map((ending) => endOne(log, ending)));
}

async function endOne(
  log: Pick<Logger, "warn">,
  { part, maxMs, end }: ShutdownStep,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const patience = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`not within ${maxMs} ms`), maxMs);
  });
  try {
    const problem = await Promise.race([end().then(() => undefined), patience]);
    if (problem !== undefined) log.warn({ part, problem }, "did not end in order");
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    log.warn({ part, problem }, "did not end in order");
  } finally {
    clearTimeout(timer);
  }
}
