/**
 * The receipt of a revocation: which nodes have applied it, and how long that took.
 *
 * A node has applied entry S when its row, of the same generation, shows `seq` ≥ S. A row is *silent*
 * once its node, if alive, must be stale: a receipt does not wait for it, because it answers by its
 * staleness policy. A node proves its freshness more often than it writes its row, so its limit alone
 * would be too short: the node might still allow while the receipt calls it stale.
 *
 * A node of a *former* log may still follow the abandoned Redis, and be fresh there: it is pending
 * until it has a row in this log. If its log was retired, it counts as silent.
 *
 * All nodes share one Redis user, which may write any row. `row-evidence.ts` says when a row is not
 * believed; its node is pending, with the reason, until the row can be believed again.
 */
import type { Clock } from "../runtime/clock.js";
import { nextLookAtMs, type LastLook } from "./look-schedule.js";
import type { OnStale } from "./on-stale.js";
import { reportIntervalMs, type NodeRow } from "./revocation-log.js";
import { contradicts, isDelivered } from "./row-evidence.js";

/** All rows at one moment of the server's clock. */
export interface NodeRows {
  /** Unix milliseconds, the server's. */
  readonly serverMs: number;
  readonly rows: readonly {
    readonly node: string;
    readonly group: string;
    readonly row: NodeRow;
    /** Of the last entry that Redis has delivered to the group; left out: there is no such group. */
    readonly deliveredId?: string | undefined;
  }[];
  /** Groups of nodes without a row that can be read; left out: not known. */
  readonly rowless?: readonly { readonly node: string; readonly group: string }[];
  /** Nodes of former logs that were not seen in this one yet; left out: not known. */
  readonly former?: readonly FormerNode[];
}

export interface NodeRowsReader {
  /** Rejects with a RevocationLogError. Bounded in time. */
  nodeRows(): Promise<NodeRows>;
}

export interface EntryAddress {
  readonly generation: string;
  readonly seq: number;
  /** In the stream; left out: not known, and it is enough that the node has a group. */
  readonly entryId?: string | undefined;
}

export interface Receipt {
  /** Milliseconds from the start of the wait until the node's row confirmed the entry. */
  readonly applied: readonly { readonly node: string; readonly ms: number }[];
  readonly pending: readonly UnconfirmedNode[];
  readonly silent: readonly UnconfirmedNode[];
}

/**
 * Why a node is not counted, apart from not having confirmed the entry:
 *
 * - `former_log`: it was last seen in a former log.
 * - `not_delivered`: its row confirms the entry, but Redis has not delivered it to the node's group.
 * - `row_conflict`: its row went back on an earlier one, so another process writes it too.
 * - `row_missing`: it has a group, but no row that can be read.
 */
export const UNCONFIRMED_REASONS = [
  "former_log",
  "not_delivered",
  "row_conflict",
  "row_missing",
] as const;
export type UnconfirmedReason = (typeof UNCONFIRMED_REASONS)[number];

/** A node, and its policy once it is stale. */
export interface KnownNode {
  readonly node: string;
  readonly maxStalenessMs: number;
  readonly onStale: OnStale;
}

/** A node that has not confirmed the entry. Its staleness policy is known only from its row. */
export interface UnconfirmedNode extends Pick<KnownNode, "node"> {
  readonly maxStalenessMs?: number | undefined;
  readonly onStale?: OnStale | undefined;
  readonly reason?: UnconfirmedReason | undefined;
}

export interface FormerNode extends KnownNode {
  /** Whether that log was retired. */
  readonly retired: boolean;
}

/** How much younger than `seen` a proof may be: a read that waits for an entry, and its round trip. */
const READ_ALLOWANCE_MS = 500;

/** Whether the node was silent for so long that its last proof must be older than its limit. */
export function isSilent(row: NodeRow, serverMs: number): boolean {
  const { seenMs, maxStalenessMs } = row;
  const lastProofAtMostMs = seenMs + reportIntervalMs(maxStalenessMs) + READ_ALLOWANCE_MS;
  return serverMs > lastProofAtMostMs + maxStalenessMs;
}

export function hasApplied(row: NodeRow, entry: EntryAddress): boolean {
  return row.generation === entry.generation && row.seq >= entry.seq;
}

/** The nodes of former logs that were not seen in this one. */
export function formerNodes(
  { rows, serverMs, former = [] }: NodeRows,
  applied: ReadonlySet<string> = new Set(),
): readonly FormerNode[] {
  if (former.length === 0) return former;
  const here = new Set(rows.flatMap(({ node, row }) => (isSilent(row, serverMs) ? [] : [node])));
  return former.filter(({ node }) => !here.has(node) && !applied.has(node));
}

interface Wait {
  readonly entry: EntryAddress;
  readonly startedMs: number;
  /** By group, not by node: two processes may share a node id by mistake. */
  readonly applied: Map<string, { readonly node: string; readonly ms: number }>;
  /** Groups whose rows have contradicted earlier ones during the wait. */
  readonly contradicted: Set<string>;
}

/** Waits for receipts; concurrent waits share one loop that reads the rows. */
export class ReceiptCollector {
  readonly #reader: NodeRowsReader;
  readonly #clock: Clock;
  readonly #waits = new Set<Wait>();
  #last: LastLook | undefined;
  /** By group, as the last look found them. */
  #rows: ReadonlyMap<string, NodeRow> = new Map();
  #looking: Promise<NodeRows> | undefined;
  /** The pause before the look that is under way. */
  #pause: { readonly endsAtMs: number; readonly hasten: (soonerMs: number) => void } | undefined;

  constructor(reader: NodeRowsReader, clock: Clock) {
    this.#reader = reader;
    this.#clock = clock;
  }

  /**
   * Waits until every node that is not silent has applied `entry`, at most `waitMs`. Rejects with a
   * RevocationLogError if the rows cannot be read.
   */
  async waitFor(entry: EntryAddress, waitMs: number): Promise<Receipt> {
    const startedMs = this.#clock.monotonicMs();
    const wait: Wait = { entry, startedMs, applied: new Map(), contradicted: new Set() };
    this.#waits.add(wait);
    const firstLookMs = nextLookAtMs(this.#last, startedMs);
    // The pause of an older wait may be longer than this one's first.
    if (this.#pause !== undefined && firstLookMs < this.#pause.endsAtMs) {
      this.#pause.hasten(firstLookMs);
    }
    try {
      for (;;) {
        const receipt = this.#receiptFrom(await this.#look(), wait);
        const elapsedMs = this.#clock.monotonicMs() - startedMs;
        if (receipt.pending.length === 0 || elapsedMs >= waitMs) return receipt;
      }
    } finally {
      this.#waits.delete(wait);
    }
  }

  #receiptFrom(found: NodeRows, wait: Wait): Receipt {
    const { rows, rowless = [], serverMs } = found;
    const pending: UnconfirmedNode[] = [];
    const silent: UnconfirmedNode[] = [];
    const former = formerNodes(found, new Set([...wait.applied.values()].map(({ node }) => node)));
    const elsewhere = new Set(former.map(({ node }) => node));
    for (const { node, group, row, deliveredId } of rows) {
      if (wait.applied.has(group) || elsewhere.has(node)) continue;
      const { maxStalenessMs, onStale } = row;
      const unconfirmed = { node, maxStalenessMs, onStale };
      if (wait.contradicted.has(group)) pending.push({ ...unconfirmed, reason: "row_conflict" });
      else if (hasApplied(row, wait.entry) && !isDelivered(deliveredId, wait.entry.entryId)) {
        pending.push({ ...unconfirmed, reason: "not_delivered" });
      } else (isSilent(row, serverMs) ? silent : pending).push(unconfirmed);
    }
    for (const { node, group } of rowless) {
      if (wait.applied.has(group) || elsewhere.has(node)) continue;
      pending.push({ node, reason: "row_missing" });
    }
    for (const { node, maxStalenessMs, onStale, retired } of former) {
      const unconfirmed = { node, maxStalenessMs, onStale, reason: "former_log" } as const;
      (retired ? silent : pending).push(unconfirmed);
    }
    return { applied: [...wait.applied.values()], pending, silent };
  }

  /** The next look at the rows, shared by all waits until it is done. */
  #look(): Promise<NodeRows> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<NodeRows> {
    const youngestMs = Math.max(...[...this.#waits].map(({ startedMs }) => startedMs));
    await this.#pauseUntil(nextLookAtMs(this.#last, youngestMs));
    const found = await this.#reader.nodeRows();
    const nowMs = this.#clock.monotonicMs();
    this.#last = { doneAtMs: nowMs, rows: found.rows.length };
    const contradicted = found.rows.filter(({ group, row }) =>
      contradicts(row, this.#rows.get(group)),
    );
    this.#rows = new Map(found.rows.map(({ group, row }) => [group, row]));
    for (const wait of this.#waits) {
      const ms = Math.round((nowMs - wait.startedMs) * 10) / 10;
      for (const { group } of contradicted) {
        wait.contradicted.add(group);
        wait.applied.delete(group);
      }
      for (const { node, group, row, deliveredId } of found.rows) {
        if (!hasApplied(row, wait.entry) || wait.applied.has(group)) continue;
        if (wait.contradicted.has(group)) continue;
        if (!isDelivered(deliveredId, wait.entry.entryId)) continue;
        wait.applied.set(group, { node, ms });
      }
    }
    return found;
  }

  async #pauseUntil(untilMs: number): Promise<void> {
    if (untilMs <= this.#clock.monotonicMs()) return;
    await new Promise<void>((resolve) => {
      const begin = (endsAtMs: number): void => {
        const pauseMs = Math.ceil(endsAtMs - this.#clock.monotonicMs());
        const timer = setTimeout(resolve, Math.max(0, pauseMs));
        const hasten = (soonerMs: number): void => {
          clearTimeout(timer);
          begin(soonerMs);
        };
        this.#pause = { endsAtMs, hasten };
      };
      begin(untilMs);
    });
    this.#pause = undefined;
  }
}
