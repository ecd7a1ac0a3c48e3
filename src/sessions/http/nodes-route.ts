import type { z } from "zod";
import { nodeAnswer, nodesAnswerSchema } from "../../revocation-log/api-answers.js";
import type { LogReport, NodeReport } from "../../revocation-log/nodes-report.js";
import type { FormerNode } from "../../revocation-log/receipt.js";
import { RevocationLogError } from "../../revocation-log/revocation-log.js";
import { RETRY_AFTER_S } from "./problem.js";
import { API_SCHEMAS, noBody, noPath, noQuery } from "./request-fields.js";
import { answered, refused, type Routes } from "./route.js";

/** Reads the current state of the log and its nodes. */
export interface NodesReader {
  /** undefined: there is no log now. Rejects with a RevocationLogError. */
  readNodes(): Promise<
    | {
        /** `recordedGeneration`: of the log that the database records. */
        readonly log: LogReport & { readonly recordedGeneration?: string | undefined };
        readonly nodes: readonly NodeReport[];
        readonly former?: readonly FormerNode[];
      }
    | undefined
  >;
}

const nodesAnswer = nodesAnswerSchema.register(API_SCHEMAS, {
  id: "Nodes",
  description:
    "`seq`: the last entry of the log, and the last one that each node has applied. A `silent` node is stale if it is running, and answers by its `on_stale`. `formats` and `kinds`: the entries that it reads; it is uncertain about what others revoke, and answers that by its `on_stale`. A node of the first version leaves out its `version`. `kept_ms_ago`: since the session service last stamped the log, which it does once a second. `retired_ms_ago`: since the log was closed for its nodes. `recorded_generation`: of the log that the database records; if it differs from `generation`, this Redis has been left. `former_nodes` were last seen in a log that has been left, and not in this one yet; unless that log is `retired`, they may be fresh there.",
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
    const { log, nodes, former = [] } = found;
    return answered(200, {
      log: logBody(log),
      nodes: nodes.map(nodeAnswer),
      ...(former.length === 0 ? {} : { former_nodes: former.map(formerBody) }),
    });
  });
}

function formerBody({ node, retired, maxStalenessMs, onStale }: FormerNode) {
  return { node, retired, max_staleness_ms: maxStalenessMs, on_stale: onStale };
}

function logBody(
  log: LogReport & { readonly recordedGeneration?: string | undefined },
): z.input<typeof nodesAnswer>["log"] {
  const { generation, seq, authority, recordedGeneration, keptMsAgo, retiredMsAgo } = log;
  return {
    generation,
    seq,
    authority,
    ...(recordedGeneration === undefined ? {} : { recorded_generation: recordedGeneration }),
    ...(keptMsAgo === undefined ? {} : { kept_ms_ago: keptMsAgo }),
    ...(retiredMsAgo === undefined ? {} : { retired_ms_ago: retiredMsAgo }),
  };
}
