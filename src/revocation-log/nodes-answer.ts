/** The nodes as the session service answers them and `sekisho nodes --json` prints them. */
import { z } from "zod";
import { ON_STALE } from "./on-stale.js";

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
