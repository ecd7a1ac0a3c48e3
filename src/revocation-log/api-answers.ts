/** What the session service answers about revocations and nodes: for the service and its client. */
import { z } from "zod";
import type { NodeReport } from "./nodes-report.js";
import { ON_STALE } from "./on-stale.js";
import { UNCONFIRMED_REASONS } from "./receipt.js";

export const unconfirmedNodeSchema = z.object({
  node: z.string(),
  max_staleness_ms: z.number().optional(),
  on_stale: z.enum(ON_STALE).optional(),
  reason: z.enum(UNCONFIRMED_REASONS).optional(),
});

export const revocationAnswerSchema = z.object({
  published: z.boolean(),
  acknowledged: z.boolean(),
  event_ids: z.array(z.string()),
  code: z.string().optional(),
  confirmed: z.boolean().optional(),
  nodes: z.int().min(0).optional(),
  applied: z.int().min(0).optional(),
  per_node: z.array(z.object({ node: z.string(), ms: z.number() })).optional(),
  pending: z.array(unconfirmedNodeSchema).optional(),
  silent: z.array(unconfirmedNodeSchema).optional(),
});

/** Printed by `sekisho nodes --json`, too. */
export const nodesAnswerSchema = z.object({
  log: z.object({
    generation: z.string(),
    recorded_generation: z.string().optional(),
    seq: z.int(),
    authority: z.string(),
    kept_ms_ago: z.number().optional(),
    retired_ms_ago: z.number().optional(),
  }),
  nodes: z.array(
    z.object({
      node: z.string(),
      state: z.enum(["in_step", "behind", "silent"]),
      seq: z.int(),
      seen_ms_ago: z.number(),
      max_staleness_ms: z.number(),
      on_stale: z.enum(ON_STALE),
      group: z.string(),
      version: z.string().optional(),
      // Left out by the service of an older version.
      formats: z.array(z.int()).optional(),
      kinds: z.array(z.string()).optional(),
    }),
  ),
  former_nodes: z
    .array(
      z.object({
        node: z.string(),
        retired: z.boolean(),
        max_staleness_ms: z.number(),
        on_stale: z.enum(ON_STALE),
      }),
    )
    .optional(),
});

/** A node as it is told in `nodesAnswerSchema`. */
export function nodeAnswer({
  node,
  state,
  seq,
  group,
  version,
  formats,
  kinds,
  ...times
}: NodeReport): z.output<typeof nodesAnswerSchema>["nodes"][number] {
  return {
    node,
    state,
    seq,
    seen_ms_ago: times.seenMsAgo,
    max_staleness_ms: times.maxStalenessMs,
    on_stale: times.onStale,
    group,
    ...(version === undefined ? {} : { version }),
    formats: [...formats],
    kinds: [...kinds],
  };
}
