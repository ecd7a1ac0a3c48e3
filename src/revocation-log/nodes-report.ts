/** What can be said of every node at one moment, for operators. */
import { hasApplied, isSilent, type NodeRows } from "./receipt.js";
import type { LogMeta } from "./revocation-log.js";

export interface NodeReport {
  readonly node: string;
  /** `silent`: if it lives, it is stale and answers by its policy. */
  readonly state: "in_step" | "behind" | "silent";
  /** The last entry that it has applied. */
  readonly seq: number;
  readonly seenMsAgo: number;
  readonly maxStalenessMs: number;
  readonly onStale: "deny" | "allow" | "error";
  /** Of the node's process: two may wrongly share one name. */
  readonly group: string;
}

/** The log itself. */
export interface LogReport extends Pick<LogMeta, "generation" | "seq" | "authority"> {
  /** Since the relay of the log's database has stamped it; undefined: never, or no database's. */
  readonly keptMsAgo?: number | undefined;
  /** Since an operator has closed it; undefined: it is in use. */
  readonly retiredMsAgo?: number | undefined;
}

export function reportLog(meta: LogMeta, serverMs: number): LogReport {
  const { generation, seq, authority, keptAtMs, retiredAtMs } = meta;
  const since = (ms: number | undefined) =>
    ms === undefined ? undefined : Math.max(0, serverMs - ms);
  return {
    ...{ generation, seq, authority },
    keptMsAgo: authority === "database" ? since(keptAtMs) : undefined,
    retiredMsAgo: since(retiredAtMs),
  };
}

/** In the order of their groups. */
export function reportNodes(
  { rows, serverMs }: NodeRows,
  log: Pick<LogMeta, "generation" | "seq">,
): readonly NodeReport[] {
  return rows
    .map(({ node, group, row }): NodeReport => {
      const behind = hasApplied(row, log) ? "in_step" : "behind";
      return {
        ...{ node, group },
        state: isSilent(row, serverMs) ? "silent" : behind,
        seq: row.seq,
        seenMsAgo: Math.max(0, serverMs - row.seenMs),
        maxStalenessMs: row.maxStalenessMs,
        onStale: row.onStale,
      };
    })
    .sort((a, b) => (a.group < b.group ? -1 : 1));
}
