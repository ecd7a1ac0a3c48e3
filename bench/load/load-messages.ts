/** What the main thread and the load generator's thread say to each other. */
import { z } from "zod";

import { ownerSchema } from "./expected-answer.js";

/** What the thread is started with. */
export const loadSetUpSchema = z.object({
  /** Sent in turn. */
  tokens: z.array(z.object({ token: z.string(), owner: ownerSchema })).min(1),
});
export type LoadSetUp = z.infer<typeof loadSetUpSchema>;

/** One stretch of requests at a fixed rate; after the answer to it there may be another. */
export const loadOrderSchema = z.object({
  port: z.number().int(),
  count: z.number().int().positive(),
  ratePerS: z.number().positive(),
  /** Whether the API must see whose token it was. */
  identified: z.boolean(),
});
export type LoadOrder = z.infer<typeof loadOrderSchema>;

export const loadResultSchema = z.object({
  latenciesMs: z.instanceof(Float64Array),
  lateSends: z.number().int(),
  latestSendMs: z.number(),
  failures: z.number().int(),
  firstFailure: z.string().optional(),
});
export type LoadResult = z.infer<typeof loadResultSchema>;

export const loadReportSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("progress"), sent: z.number().int() }),
  z.object({ kind: z.literal("done"), result: loadResultSchema }),
  z.object({ kind: z.literal("broken off"), message: z.string() }),
]);
export type LoadReport = z.infer<typeof loadReportSchema>;
