import { setTimeout as delay } from "node:timers/promises";

export interface WaitOptions {
  /** What is waited for, as words that follow "waited 5000 ms for". */
  readonly what: string;
  readonly timeoutMs: number;
  /** Pause between two looks; 10 ms if left out. */
  readonly everyMs?: number;
  /** Makes the error from its message, for more details. */
  readonly failure?: (message: string) => Error;
}

/**
 * Looks until `look` returns something other than undefined, and returns that. A look that throws
 * ends the wait at once; a look that hangs is the caller's to bound.
 *
 * @throws Error when `timeoutMs` have passed
 */
export async function waitFor<T>(
  look: () => T | undefined | Promise<T | undefined>,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() >= deadline) {
      const message = `waited ${options.timeoutMs} ms for ${options.what}`;
      throw options.failure?.(message) ?? new Error(message);
    }
    await delay(options.everyMs ?? 10);
  }
}

/** Waits until `isSo` says true. */
export async function waitUntil(
  isSo: () => boolean | Promise<boolean>,
  options: WaitOptions,
): Promise<void> {
  await waitFor(async () => ((await isSo()) ? true : undefined), options);
}
