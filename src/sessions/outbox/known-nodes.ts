/**
 * The nodes' rows in Redis, with the nodes of former logs from the database.
 *
 * Receipts read the rows many times a second, while the former nodes seldom change. So the database
 * is read again only after a while, and at once if the log in Redis has another generation than the
 * database recorded: a wait for an entry of a new log then includes every node of the log before
 * it.
 */
import type { Clock } from "../../runtime/clock.js";
import type { Database } from "../database/database.js";
import type { NodesAndLog } from "../../revocation-log/node-rows-redis.js";
import type { NodeRowsReader } from "../../revocation-log/receipt.js";
import { readFormerNodes, type FormerNodes } from "./log-nodes-sql.js";

const REMEMBERED_MS = 250;

/** Includes the generation that the database recorded. */
export interface KnownNodes extends NodesAndLog {
  readonly former: FormerNodes["nodes"];
  readonly recordedGeneration: string | undefined;
}

export interface KnownNodesDependencies {
  readonly database: Database;
  readonly clock: Clock;
  readonly rows: { nodeRows(): Promise<NodesAndLog> };
}

export class KnownNodesReader implements NodeRowsReader {
  readonly #dependencies: KnownNodesDependencies;
  #last: { readonly atMs: number; readonly found: FormerNodes } | undefined;

  constructor(dependencies: KnownNodesDependencies) {
    this.#dependencies = dependencies;
  }

  /** Rejects with a RevocationLogError or a DatabaseError. Bounded in time. */
  async nodeRows(): Promise<KnownNodes> {
    const rows = await this.#dependencies.rows.nodeRows();
    const { meta } = rows;
    const { nodes, generation } = await this.#former(
      typeof meta === "string" ? undefined : meta.generation,
    );
    return { ...rows, former: nodes, recordedGeneration: generation };
  }

  async #former(generation: string | undefined): Promise<FormerNodes> {
    const { database, clock } = this.#dependencies;
    const atMs = clock.monotonicMs();
    const last = this.#last;
    if (last !== undefined && last.found.generation === generation) {
      if (atMs - last.atMs < REMEMBERED_MS) return last.found;
    }
    const found = await database.transaction({ role: "relay" }, (queries) =>
      readFormerNodes(queries, clock.wallMs()),
    );
    this.#last = { atMs, found };
    return found;
  }
}
