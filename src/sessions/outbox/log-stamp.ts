/**
 * Stamps the log as kept by this database, once a second, by the instance that holds the
 * lock. A node that follows a log without a recent stamp follows one that was left behind.
 *
 * The stamp requires the generation that the database recorded, so an instance whose Redis holds
 * another log stamps nothing. The same call returns the nodes' rows. The database stores which
 * nodes have joined this log, because the service may switch to another Redis while some of them
 * still follow this one.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { LogAdmin } from "../../revocation-log/log-admin.js";
import type { NodeRows, KnownNode } from "../../revocation-log/receipt.js";
import {
  forgetFormerNodes,
  forgetNodes,
  LOG_NODES_MAX,
  nodesOf,
  recordNodes,
} from "./log-nodes-sql.js";
import { readLogRecord } from "./log-record-sql.js";

/** How often everything is written again, including unchanged rows. */
const RECORD_ALL_MS = 60_000;
/** The maximum length of a node's name; a longer one is not a node's. */
const NODE_NAME_MAX = 128;

export interface LogStampDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly logAdmin: Pick<LogAdmin, "keep">;
}

/** What was last written to the database. */
interface Recorded {
  readonly generation: string;
  /** The serialised row of each node, by its name. */
  readonly nodes: ReadonlyMap<string, string>;
  /** When everything was last written; monotonic. */
  readonly allAtMs: number;
}

export class LogStamp {
  readonly #dependencies: LogStampDependencies;
  #recorded: Recorded | undefined;

  constructor(dependencies: LogStampDependencies) {
    this.#dependencies = dependencies;
  }

  /** Rejects with a DatabaseError or a RevocationLogError. Bounded in time. */
  async renew(): Promise<void> {
    const { database, logAdmin } = this.#dependencies;
    const record = await database.transaction({ role: "relay" }, (queries) =>
      readLogRecord(queries),
    );
    if (record?.generation === undefined) return;
    const kept = await logAdmin.keep(record.generation);
    if (kept !== undefined)
      await this.#record(record.generation, joinedNodes(kept, record.generation));
  }

  async #record(generation: string, joined: ReadonlyMap<string, KnownNode>): Promise<void> {
    const { database, clock } = this.#dependencies;
    const nowMs = clock.monotonicMs();
    const last = this.#recorded?.generation === generation ? this.#recorded : undefined;
    const isWhole = last === undefined || nowMs - last.allAtMs >= RECORD_ALL_MS;
    const nodes = new Map([...joined].map(([name, node]) => [name, JSON.stringify(node)]));
    const changed = [...joined.values()].filter(
      ({ node }) => isWhole || last.nodes.get(node) !== nodes.get(node),
    );
    const left = isWhole ? undefined : [...last.nodes.keys()].filter((name) => !nodes.has(name));
    if (changed.length === 0 && left?.length === 0) return;
    await database.transaction({ role: "relay" }, async (queries) => {
      const known = left ?? (await nodesOf(queries, generation));
      const gone = known.filter((name) => !nodes.has(name));
      await forgetNodes(queries, { generation, nodes: gone });
      const atMs = clock.wallMs();
      await recordNodes(queries, { generation, atMs, nodes: changed });
      if (isWhole) await forgetFormerNodes(queries, atMs);
    });
    this.#recorded = { generation, nodes, allAtMs: isWhole ? nowMs : last.allAtMs };
  }
}

/**
 * Nodes that have read the log of this generation, by name. A row of another generation does not
 * say where its node is now.
 */
function joinedNodes({ rows }: NodeRows, generation: string): ReadonlyMap<string, KnownNode> {
  const joined = new Map<string, KnownNode>();
  for (const { node, row } of rows) {
    if (row.generation !== generation || node.length > NODE_NAME_MAX) continue;
    const { maxStalenessMs, onStale } = row;
    if (joined.size < LOG_NODES_MAX) joined.set(node, { node, maxStalenessMs, onStale });
  }
  return joined;
}
