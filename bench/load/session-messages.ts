/** What the main thread and the load generator's thread say to each other about the session service. */
import { z } from "zod";

export const openedSessionSchema = z.object({
  session: z.string(),
  accessToken: z.string(),
  refreshToken: z.string(),
});
export type OpenedSession = z.infer<typeof openedSessionSchema>;

/** What the thread is started with. */
export const sessionSetUpSchema = z.object({
  port: z.number().int(),
  /** Refreshed in turn; the thread keeps what it is given for them. */
  sessions: z.array(openedSessionSchema).min(1),
  operatorToken: z.string(),
  /** Nodes that each receipt must name. */
  nodes: z.number().int().positive(),
});
export type SessionSetUp = z.infer<typeof sessionSetUpSchema>;

/** Who asks: each session for itself in turn, the operator, or a client without a token. */
export const readSchema = z.object({
  path: z.string(),
  by: z.enum(["sessions", "operator", "anonymous"]),
  /** Name of the list in the answer, and how many things it must have. */
  list: z.string(),
  length: z.number().int().positive(),
});
export type Read = z.infer<typeof readSchema>;

export const actSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("refresh") }),
  z.object({ kind: z.literal("read"), read: readSchema }),
  /** `revoke-all` of these users in turn; the path is the one that revokes, with `wait_ms`. */
  z.object({ kind: z.literal("revoke"), paths: z.array(z.string()).min(1) }),
]);
export type Act = z.infer<typeof actSchema>;

export const sessionOrderSchema = z.object({
  act: actSchema,
  count: z.number().int().positive(),
  ratePerS: z.number().positive(),
  inFlightMax: z.number().int().positive().optional(),
});
export type SessionOrder = z.infer<typeof sessionOrderSchema>;
