import { z } from "zod";
import type { NodeReport } from "../revocation/nodes-report.js";
import { ON_STALE } from "../revocation/on-stale.js";
import { RevocationLogError, type LogMeta } from "../revocation/revocation-log.js";
import { RETRY_AFTER_S } from "./problem.js";
import { API_SCHEMAS, noBody, noPath, noQuery } from "./request-fields.js";
import { answered, refused, type Routes } from "./route.js";

/** What can be said of the log and its nodes now. */
export interface NodesReader {
  /** undefined: there is no log to follow now. Rejects with a RevocationLogError. */
  readNodes(): Promise<
    | {
        readonly log: Pick<LogMeta, "generation" | "seq" | "authority">;
        readonly nodes: readonly NodeReport[];
      }
    | undefined
  >;
}

const nodesAnswer = z
  .object({
    log: z.object({ generation: z.string(), seq: z.int(), authority: z.string() }),
    nodes: z.array(
      z.object({
        node: z.string(),
        state: z.enum(["in_step", "behind", "silent"]),
        seq: z.int(),
        seen_ms_ago: z.number(),
        max_staleness_ms: z.number(),
        on_stale: z.enum(ON_STALE),
        group: z.string(),
      }),
    ),
  })
  .register(API_SCHEMAS, {
    id: "Nodes",
    description:
      "`seq`: the last entry of the log, and the last one that each node has applied. A `silent` node is stale if it lives and answers by its `on_stale`.",
  });

export function addNodes(routes: Routes, reader: NodesReader): void {
  const plan = {
    method: "GET",
    url: "/v1/admin/nodes",
    need: "operator",
    summary: "List the nodes and what each has applied",
    tag: "Nodes",
    path: noPath,
    query: noQuery,
    body: noBody,
    answers: { 200: nodesAnswer },
    problems: ["log_unavailable"],
  } as const;
  routes.guarded(plan, async () => {
    const found = await reader.readNodes().catch((error: unknown) => {
      if (error instanceof RevocationLogError) return undefined;
      throw error;
    });
    if (found === undefined) return refused("log_unavailable", { retryAfterS: RETRY_AFTER_S });
    const { generation, seq, authority } = found.log;
    return answered(200, { log: { generation, seq, authority }, nodes: found.nodes.map(nodeBody) });
  });
}

type NodeBody = z.input<typeof nodesAnswer>["nodes"][number];

function nodeBody({ node, state, seq, group, ...times }: NodeReport): NodeBody {
  return {
    ...{ node, state, seq, group },
    seen_ms_ago: times.seenMsAgo,
    max_staleness_ms: times.maxStalenessMs,
    on_stale: times.onStale,
  };
}
