/** A keeper whose server is never heard of again from one step of a restore on. */
import type { LogKeeper } from "../../src/revocation-log/log-keeper.js";
import { changedKeeper } from "./changed-keeper.js";
import { RevocationLogError } from "../../src/revocation-log/revocation-log.js";

export const STEPS = [
  "beginRestore",
  "entriesAfter",
  "clear",
  "append",
  "finish",
  "facts",
] as const;
export type Step = (typeof STEPS)[number];

export interface FailingKeeper {
  readonly around: (keeper: LogKeeper) => LogKeeper;
  readonly failed: () => boolean;
}

/**
 * `before`: the step does not happen. `after`: it does, and its answer is lost. `facts` fails only
 * once a restore has begun, so that it stands for what comes after `finish`.
 */
export function failingKeeper(step: Step, when: "before" | "after"): FailingKeeper {
  let failed = false;
  let begun = false;
  const around = (keeper: LogKeeper): LogKeeper => {
    const attempt = async <T>(name: Step, run: () => Promise<T>): Promise<T> => {
      if (name === step && (name !== "facts" || begun) && when === "before") failed = true;
      if (failed) throw new RevocationLogError("unavailable", "cut off by the test");
      const result = await run();
      if (name === "beginRestore") begun = true;
      if (name === step && (name !== "facts" || begun)) failed = true;
      if (name === step && failed) throw new RevocationLogError("unavailable", "cut off");
      return result;
    };
    return changedKeeper(keeper, {
      facts: () => attempt("facts", () => keeper.facts()),
      entriesAfter: (id, count) => attempt("entriesAfter", () => keeper.entriesAfter(id, count)),
      beginRestore: (marker) => attempt("beginRestore", () => keeper.beginRestore(marker)),
      clear: (marker) => attempt("clear", () => keeper.clear(marker)),
      append: (marker, horizonS, entries) =>
        attempt("append", () => keeper.append(marker, horizonS, entries)),
      finish: (marker, log) => attempt("finish", () => keeper.finish(marker, log)),
    });
  };
  return { around, failed: () => failed };
}
