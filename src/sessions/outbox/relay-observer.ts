import type { RelayProblem } from "./relay-decision.js";
import type { Restored } from "./restore.js";

/** What the cycles report besides, for the pages. */
export interface CycleStatus {
  /** What keeps this relay from its work. */
  readonly problem: RelayProblem | undefined;
  /** Made by this instance. */
  readonly restores: number;
  readonly lastRestore: (Restored & { readonly atMs: number }) | undefined;
}

/** The relay's events, for metrics and log. */
export interface RelayObserver {
  /** Whether this instance is the relay. */
  onLock(held: boolean): void;
  /** How many revocations the relay published that no request had published. */
  onPublished(count: number): void;
  onRestored(restored: Restored): void;
  /** How many entries from elsewhere were found; `unreadable` ones could not be imported. */
  onImported(imported: number, unreadable: number): void;
  /** The problem that keeps the relay from its work has changed; undefined: it is solved. */
  onProblem(problem: RelayProblem | undefined): void;
}
