/** Times an operation in process: rounds of a fixed number, after one that is not counted. */
import { spreadOf } from "../report/percentile.js";
import type { Spread } from "../report/percentile.js";

export interface Repetition {
  readonly rounds: number;
  readonly operations: number;
}

/** Nanoseconds per operation over the rounds. `operation` asserts its own answer. */
export async function timeOperation(
  { rounds, operations }: Repetition,
  operation: (index: number) => void | Promise<void>,
): Promise<Spread> {
  const nsPerOperation: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const startedNs = process.hrtime.bigint();
    for (let index = 0; index < operations; index += 1) {
      const pending = operation(index);
      // Awaiting what is not pending would cost a turn that a real check does not take.
      if (pending !== undefined) await pending;
    }
    const ns = Number(process.hrtime.bigint() - startedNs) / operations;
    // The first round is for the compiler.
    if (round > 0) nsPerOperation.push(ns);
  }
  return spreadOf(nsPerOperation);
}
