/**
 * The port through which revocations are published.
 *
 * Guarantee: `published: true` means that the entry is in the log and that as many replicas have it
 * as are configured. From then on no node whose policy is `deny` allows the token for longer than
 * its staleness limit. Everything else is *not in force*, even if it should be in the log by now;
 * publishing again is always harmless.
 */
import type { Revocation } from "./entry.js";

/** What is published: a revocation, and who decided it when and why. */
export interface DecidedRevocation {
  readonly revocation: Revocation;
  /** Names this revocation in logs and audits; unique. */
  readonly eventId: string;
  /**
   * When it was decided, Unix milliseconds; it may be published much later. The session service
   * reads the time under the lock of that decision.
   */
  readonly atMs: number;
  readonly reason: string | undefined;
  readonly actor: string | undefined;
  /**
   * The generation of the log that the database names. A publisher with the authority `database`
   * writes into no other log, and into none where it is left out; other publishers ignore it.
   */
  readonly generation?: string | undefined;
}

/**
 * - `unreachable`: Redis did not answer, or gave an answer that no intact log gives; the entry may or
 *   may not be in the log.
 * - `log_missing`, `log_restoring`, `wrong_authority`, `partitions_differ`: this log must not be
 *   written to by this publisher now.
 * - `generation_differs`: this is not the log that the database names.
 * - `log_retired`: an operator has retired the log, and no node follows it.
 * - `log_incomplete`: Redis was restarted, and the database has not restored its log yet: no node
 *   reads it.
 * - `clock_difference`: publisher and Redis differ by more than `PUBLISH_CLOCK_DIFFERENCE_MAX_MS`.
 * - `cutoff_too_late`: the log would forget the cut-off before the last token that it revokes.
 * - `entry_unreadable`, `out_of_range`: no node could read the entry, or a number in it is too large.
 *   Publishing it again does not help.
 * - `too_few_replicas`: in the log, but a failover could lose it.
 */
export type PublishRefusal =
  | "unreachable"
  | "log_missing"
  | "log_restoring"
  | "log_retired"
  | "log_incomplete"
  | "wrong_authority"
  | "generation_differs"
  | "partitions_differ"
  | "clock_difference"
  | "cutoff_too_late"
  | "entry_unreadable"
  | "out_of_range"
  | "too_few_replicas";

export type PublishOutcome =
  | {
      readonly published: true;
      readonly generation: string;
      readonly seq: number;
      readonly entryId: string;
    }
  | { readonly published: false; readonly code: PublishRefusal; readonly message: string };

export const PUBLISH_CLOCK_DIFFERENCE_MAX_MS = 30_000;

export interface Publisher {
  /** Never rejects. Bounded in time. */
  publish(request: DecidedRevocation): Promise<PublishOutcome>;
  close(): void;
}
