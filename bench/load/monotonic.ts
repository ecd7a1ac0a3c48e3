/** Milliseconds of a clock that is the same in all threads; `performance.now()` is not. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
