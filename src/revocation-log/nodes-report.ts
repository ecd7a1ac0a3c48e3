/** The state of every node at one moment, for operators. */
import { hasApplied, isSilent, type NodeRows } from "./receipt.js";
import type { LogMeta, NodeRow } from "./revocation-log.js";

export interface NodeReport {
  readonly node: string;
  /** `silent`: stale if it is alive, and answers by its policy. */
  readonly state: "in_step" | "behind" | "silent";
  /** Of the last entry applied. */
  readonly seq: number;
  readonly seenMsAgo: number;
  readonly maxStalenessMs: number;
  readonly onStale: "deny" | "allow" | "error";
  /** The formats and kinds of entries that it reads. */
  readonly formats: readonly number[];
  readonly kinds: readonly string[];
  /** undefined: the first version, which does not say. */
  readonly version: string | undefined;
  /** Of the node's process: two processes may share a node id by mistake. */
  readonly group: string;
}

export interface LogReport extends Pick<LogMeta, "generation" | "seq" | "authority"> {
  /** Since the relay last stamped the log; undefined: never, or the log has no database. */
  readonly keptMsAgo?: number | undefined;
  /** Since an operator retired the log; undefined: it is in use. */
  readonly retiredMsAgo?: number | undefined;
}

export function reportLog(meta: LogMeta, serverMs: number): LogReport {
  const { generation, seq, authority, keptAtMs, retiredAtMs } = meta;
  const since = (ms: number | undefined) =>
    ms === undefined ? undefined : Math.max(0, serverMs - ms);
  return {
    generation,
    seq,
    authority,
    keptMsAgo: authority === "database" ? since(keptAtMs) : undefined,
    retiredMsAgo: since(retiredAtMs),
  };
}

/** What the first version reads, whose rows do not say. */
const FIRST_READ = { formats: [1], kinds: ["session_revoked", "user_revoked"] } as const;

/** The formats and kinds of entries that a node reads, by its row. */
export function readByNode({
  formats = FIRST_READ.formats,
  kinds = FIRST_READ.kinds,
}: Pick<NodeRow, "formats" | "kinds">): Pick<NodeReport, "formats" | "kinds"> {
  return { formats, kinds };
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
        node,
        group,
        state: isSilent(row, serverMs) ? "silent" : behind,
        seq: row.seq,
        seenMsAgo: Math.max(0, serverMs - row.seenMs),
        maxStalenessMs: row.maxStalenessMs,
        onStale: row.onStale,
        version: row.version,
        ...readByNode(row),
      };
    })
    .sort((a, b) => (a.group < b.group ? -1 : 1));
}
