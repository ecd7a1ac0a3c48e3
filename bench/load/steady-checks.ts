/**
 * Checks at a steady rate, straight to the sidecar's gRPC port, sent by a process of its own: what
 * its parent does meanwhile, an attack for example, delays neither a check nor its answer.
 *
 * Started with an IPC channel. A message is a stretch of checks, the answer to it is a report; or it
 * ends that stretch.
 */
import { z } from "zod";

import type { CheckResponse } from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { checksClient, refusalIn, sendCheck } from "./check-call.js";
import { sendStretch } from "./load-orders.js";

const stretchSchema = z.object({
  /** HOST:PORT or unix:/PATH. */
  address: z.string(),
  tokens: z.array(z.string()).min(1),
  count: z.int().positive(),
  ratePerS: z.number().positive(),
});
/** "stop": ends the stretch that is being sent. */
const orderSchema = z.union([stretchSchema, z.literal("stop")]);
export type ChecksOrder = z.infer<typeof orderSchema>;

export const checksReportSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("done"),
    /** When the first check was due (see monotonicMs). */
    startMs: z.number(),
    /** By check, from the moment at which each was due; null: not allowed. */
    latenciesMs: z.array(z.number().nullable()),
    failures: z.int(),
    firstFailure: z.string().optional(),
  }),
  z.object({ kind: z.literal("broken off"), message: z.string() }),
]);
export type ChecksReport = z.infer<typeof checksReportSchema>;

function faultOf(response: CheckResponse): string | undefined {
  const refusal = refusalIn(response);
  return refusal === undefined ? undefined : `not allowed: ${refusal}`;
}

async function carryOut(
  { address, tokens, ...stretch }: z.infer<typeof stretchSchema>,
  stopped: AbortSignal,
): Promise<ChecksReport> {
  const client = checksClient(address);
  const tokenOf = (index: number): string => tokens[index % tokens.length] ?? "";
  try {
    const result = await sendStretch<CheckResponse>(
      stretch,
      { send: (index) => sendCheck(client, tokenOf(index)), faultOf },
      () => undefined,
      stopped,
    );
    const { startMs, failures, firstFailure } = result;
    const latenciesMs = [...result.latenciesMs].map((ms) => (Number.isNaN(ms) ? null : ms));
    return { kind: "done", startMs, latenciesMs, failures, firstFailure };
  } catch (error) {
    return { kind: "broken off", message: error instanceof Error ? error.message : String(error) };
  }
}

// Without a parent the answers are read by no one.
process.on("disconnect", () => process.exit());
let stopping = new AbortController();
process.on("message", (message) => {
  const order = orderSchema.parse(message);
  if (order === "stop") {
    stopping.abort();
    return;
  }
  stopping = new AbortController();
  carryOut(order, stopping.signal).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      throw error;
    },
  );
});
