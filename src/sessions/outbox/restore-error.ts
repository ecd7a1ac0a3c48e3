import type { RestoreRefusal, RestoreStep } from "../../revocation-log/log-admin.js";

type DoneStep = Extract<RestoreStep, { readonly done: true }>;

/** `superseded`: another instance has begun a restore, here or in another Redis. */
type RestoreFault = RestoreRefusal | "superseded";

/** A refused step: the log or the server has changed meanwhile. */
export class RestoreError extends Error {
  readonly code: RestoreFault;

  constructor(step: string, code: RestoreFault) {
    super(`${step}: ${REFUSALS[code]}`);
    this.name = "RestoreError";
    this.code = code;
  }
}

const REFUSALS: Readonly<Record<RestoreFault, string>> = {
  marker_lost: "another instance has started to restore the log, or it was opened or deleted",
  server_changed: "Redis was restarted meanwhile",
  entries_lost: "entries were deleted from the log or added to it meanwhile",
  log_retired: "the log was retired meanwhile",
  superseded: "another instance has started to restore the log, perhaps in another Redis",
};

/** The entry that the step has reached; throws a RestoreError if the step was refused. */
export function done(what: string, step: RestoreStep): DoneStep {
  if (step.done) return step;
  throw new RestoreError(what, step.code);
}
