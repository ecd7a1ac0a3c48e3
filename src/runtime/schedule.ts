/**
 * Runs something once, `delayMs` from now, and returns a function that cancels it. Passed in wherever
 * a timer is needed, so that a test decides when it fires.
 */
export type Schedule = (run: () => void, delayMs: number) => () => void;

/** Real timers, which do not keep the process alive. */
export const systemSchedule: Schedule = (run, delayMs) => {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
};
