/**
 * From the database to the log: a revocation is committed first, published after.
 *
 * Guarantee: what is committed is published, sooner or later, by whichever instance lives; only
 * `published: true` says that it is in force (*acknowledged* in docs/architecture.md): it is in the log of a
 * generation that the database meant after it had been written there (`restore.ts` says why that is
 * enough).
 */
import type { Revocation } from "../../revocation-log/entry.js";
import type { UnconfirmedNode } from "../../revocation-log/receipt.js";

/** A revocation as it stands in the database. */
export interface CommittedRevocation {
  /** A UUID. */
  readonly eventId: string;
  readonly revocation: Revocation;
  /** When it was decided, Unix milliseconds, read under the lock that it was decided under. */
  readonly atMs: number;
  readonly reason: string | undefined;
  readonly actor: string | undefined;
  /**
   * The generation of the log that the database meant when it was committed: no other one is written
   * to. Left out or undefined: none.
   */
  readonly generation?: string | undefined;
}

export interface RevocationReceipt {
  /** In the log, on as many replicas as are configured: in force. */
  readonly published: boolean;
  /**
   * Why not: a code of `PublishRefusal`; `overloaded`; `pending`; or `database_unavailable`, where it could not
   * be asked whether it still means that log. The relay goes on trying.
   */
  readonly code?: string;
  /** undefined: nobody waited, too many others do, or Redis went away while waiting. */
  readonly nodes?: {
    readonly applied: readonly { readonly node: string; readonly ms: number }[];
    readonly pending: readonly UnconfirmedNode[];
    readonly silent: readonly UnconfirmedNode[];
  };
}

export interface Outbox {
  /**
   * Publishes what has been committed, records that it is, and waits up to `waitMs` for every node
   * that is not silent to have applied it. One receipt for all of them: published only if every one
   * is. Never rejects; bounded by `waitMs` and the publisher's own limits.
   */
  publish(committed: readonly CommittedRevocation[], waitMs: number): Promise<RevocationReceipt>;
  /**
   * The receipt of what was committed before, for an actor who asks for it again: publishes nothing.
   * Waits up to `waitMs` until it is published and every node that is not silent has applied it.
   * Rejects with a DatabaseError.
   */
  receiptAgain(
    committed: CommittedRevocation,
    wait: { readonly waitMs: number; readonly actor: string },
  ): Promise<RevocationReceipt>;
}
