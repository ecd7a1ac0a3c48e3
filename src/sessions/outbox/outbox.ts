/**
 * From the database to the log: a revocation is committed first, published after.
 *
 * Guarantee: what is committed is eventually published, by any running instance. Only
 * `published: true` means that it is in force (*acknowledged* in docs/architecture.md): it is in the log of a generation
 * that was still current in the database after the write (`restore.ts` explains why that is
 * enough).
 */
import type { DecidedRevocation } from "../../revocation-log/publisher.js";
import type { UnconfirmedNode } from "../../revocation-log/receipt.js";

export interface RevocationReceipt {
  /** In the log, on the required number of replicas: in force. */
  readonly published: boolean;
  /**
   * Why not: a code of `PublishRefusal`; `overloaded`; `pending`; or `database_unavailable` if it
   * could not be checked that the generation is still current. The relay keeps trying.
   */
  readonly code?: string;
  /** undefined: no wait was asked for, too many others wait, or Redis failed during the wait. */
  readonly nodes?: {
    readonly applied: readonly { readonly node: string; readonly ms: number }[];
    readonly pending: readonly UnconfirmedNode[];
    readonly silent: readonly UnconfirmedNode[];
  };
}

export interface Outbox {
  /**
   * Publishes what was committed, records that, and waits up to `waitMs` until every node that is
   * not silent has applied it. One receipt for all: published only if every one is. Never rejects;
   * bounded by `waitMs` and the publisher's own limits.
   */
  publish(committed: readonly DecidedRevocation[], waitMs: number): Promise<RevocationReceipt>;
  /**
   * The receipt of an earlier commit, for an actor who asks for it again: publishes nothing. Waits
   * up to `waitMs` until it is published and every node that is not silent has applied it. Rejects
   * with a DatabaseError.
   */
  receiptAgain(
    committed: DecidedRevocation,
    wait: { readonly waitMs: number; readonly actor: string },
  ): Promise<RevocationReceipt>;
}
