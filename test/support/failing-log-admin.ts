/** A log admin whose server is never heard of again from one step of a restore on. */
import type { LogAdmin } from "../../src/revocation-log/log-admin.js";
import { changedKeeper } from "./changed-log-admin.js";
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

export interface FailingLogAdmin {
  readonly around: (logAdmin: LogAdmin) => LogAdmin;
  readonly failed: () => boolean;
}

/**
 * `before`: the step does not happen. `after`: it does, and its answer is lost. `facts` fails only
 * once a restore has begun, so that it stands for what comes after `finish`.
 */
export function failingKeeper(step: Step, when: "before" | "after"): FailingLogAdmin {
  let failed = false;
  let begun = false;
  const around = (logAdmin: LogAdmin): LogAdmin => {
    const attempt = async <T>(name: Step, run: () => Promise<T>): Promise<T> => {
      if (name === step && (name !== "facts" || begun) && when === "before") failed = true;
      if (failed) throw new RevocationLogError("unavailable", "cut off by the test");
      const result = await run();
      if (name === "beginRestore") begun = true;
      if (name === step && (name !== "facts" || begun)) failed = true;
      if (name === step && failed) throw new RevocationLogError("unavailable", "cut off");
      return result;
    };
    return changedKeeper(logAdmin, {
      facts: () => attempt("facts", () => logAdmin.facts()),
      entriesAfter: (id, count) => attempt("entriesAfter", () => logAdmin.entriesAfter(id, count)),
      beginRestore: (marker) => attempt("beginRestore", () => logAdmin.beginRestore(marker)),
      clear: (marker) => attempt("clear", () => logAdmin.clear(marker)),
      append: (marker, horizonS, entries) =>
        attempt("append", () => logAdmin.append(marker, horizonS, entries)),
      finish: (marker, log) => attempt("finish", () => logAdmin.finish(marker, log)),
    });
  };
  return { around, failed: () => failed };
}
