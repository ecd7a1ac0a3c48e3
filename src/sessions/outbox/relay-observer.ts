import type { RelayProblem } from "./relay-decision.js";
import type { Restored } from "./restore.js";

/** What metrics and log are told of the relay. */
export interface RelayObserver {
  /** Whether this instance is the one that relays. */
  onLock(held: boolean): void;
  /** So many revocations were published that no request had published. */
  onPublished(count: number): void;
  onRestored(restored: Restored & { readonly partition: number }): void;
  /** So many entries of the log were not from here; `unreadable` ones could not be taken over. */
  onImported(imported: number, unreadable: number): void;
  /** What keeps the relay from its work has changed; undefined: nothing does. */
  onProblem(problem: RelayProblem | undefined, partition: number): void;
}
