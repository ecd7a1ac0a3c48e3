/**
 * Whether a log may be retired, or be opened again: pure, no I/O.
 *
 * Retiring the log that the fleet follows makes every node stale; opening an abandoned one makes the
 * nodes that still follow it fresh again, on a log that misses what is published elsewhere. Only the
 * database behind a log knows which of the two it is.
 */
import type { LogMeta } from "./revocation-log.js";

/** Which log the database names. */
export type NamedLog =
  | { readonly kind: "named"; readonly generation: string | undefined }
  /** `why`: in words for the operator. */
  | { readonly kind: "unknown"; readonly why: string };

/** Why not, in words; undefined: it may be retired. */
export function objectionToRetiring(
  meta: Pick<LogMeta, "authority" | "generation">,
  named: NamedLog,
): string | undefined {
  if (meta.authority === "redis") return NO_DATABASE;
  if (named.kind === "unknown") return named.why;
  return named.generation === meta.generation
    ? "this is the log that the database names: nodes follow it, and revocations are published into it"
    : undefined;
}

/** As for retiring. */
export function objectionToReopening(
  meta: Pick<LogMeta, "authority" | "generation">,
  named: NamedLog,
): string | undefined {
  if (meta.authority === "redis") return NO_DATABASE;
  if (named.kind === "unknown") return named.why;
  return named.generation === meta.generation
    ? undefined
    : "the database names another log: nodes that follow this one would miss what is published there";
}

const NO_DATABASE =
  "this log has no database (its authority is `redis`), so whether it is in use is unknown";
