/**
 * How fresh a node is while it catches up. A read that returned as much as it may proves nothing about
 * its own moment: there may be more. But an earlier one showed how far the log went then, and once
 * that is applied, everything that was published before it was sent is applied.
 *
 * It holds for one connection: what was shown before it was lost may have been another log's.
 */
import type { Moment } from "../../runtime/clock.js";
import type { LogMeta } from "../../revocation-log/revocation-log.js";

interface Mark {
  /** The log's last entry at that moment. */
  readonly seq: number;
  readonly sentAt: Moment;
}

/** Closer marks would ask a quorum of replicas more often than freshness needs. */
const MARK_EVERY_MS = 50;
/** Those of five seconds; a node that is further behind proves what the older ones show. */
const MARKS_MAX = 100;

export class CatchUp {
  readonly #marks: Mark[] = [];

  /** A read that was sent at `sentAt` showed that the log went up to `seq`. */
  note(seq: number, sentAt: Moment): void {
    const last = this.#marks.at(-1);
    const isClose = last && sentAt.monotonicMs - last.sentAt.monotonicMs < MARK_EVERY_MS;
    if (isClose !== true && this.#marks.length < MARKS_MAX) this.#marks.push({ seq, sentAt });
  }

  /**
   * The latest moment of which everything is applied that was published before it; undefined: of none
   * since the last call.
   */
  reached(appliedSeq: number): Moment | undefined {
    let moment: Moment | undefined;
    for (;;) {
      const [first] = this.#marks;
      if (first === undefined || first.seq > appliedSeq) return moment;
      moment = first.sentAt;
      this.#marks.shift();
    }
  }
}

/**
 * Entries read at once: few enough that applying them never holds up a check for long. Packed ones cost a
 * third, and a node that takes more of them in each round trip stays closer to the end of the log.
 */
const READ_MAX_ENTRIES = { fields: 64, packed: 256 };

/**
 * Entries of a page, in any format: while the whole log is read, a smaller step costs no freshness, and
 * hardly any time.
 */
export const PAGE_MAX_ENTRIES = 64;

export function readMaxOf({ format }: Pick<LogMeta, "format">): number {
  return format === 1 ? READ_MAX_ENTRIES.fields : READ_MAX_ENTRIES.packed;
}
