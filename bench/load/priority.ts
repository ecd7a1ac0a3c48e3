/** Which processes run before others, so that a busy machine does not show in what is measured. Needs root. */
import { constants, getPriority, setPriority } from "node:os";

/** Does nothing where that is not allowed: then a busy machine shows in the results. */
export function runBeforeOthers(pid: number | undefined): void {
  prioritise(pid, constants.priority.PRIORITY_HIGHEST);
}

/** Before others, but not before this process and its equals, if they run before others. */
export function runNext(pid: number | undefined): void {
  prioritise(pid, constants.priority.PRIORITY_HIGH);
}

/** This process and what it starts run before others until the returned function is called. */
export function runThisBeforeOthers(): () => void {
  const before = getPriority();
  runBeforeOthers(process.pid);
  return () => prioritise(process.pid, before);
}

function prioritise(pid: number | undefined, priority: number): void {
  try {
    if (pid !== undefined) setPriority(pid, priority);
  } catch {
    // See above.
  }
}
