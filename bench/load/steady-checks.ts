/**
 * Checks at a steady rate, straight to the sidecar's gRPC port, sent by a process of its own: what
 * its parent does meanwhile, an attack for example, delays neither a check nor its answer.
 *
 * Started with an IPC channel. Each message is a stretch of checks, the answer to it is a report.
 */
import { Client, credentials } from "@grpc/grpc-js";
import { z } from "zod";

import {
  AuthorizationService,
  type CheckRequest,
  type CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { sendStretch } from "./load-orders.js";
import type { Exchange } from "./open-loop.js";

const orderSchema = z.object({
  /** HOST:PORT or unix:/PATH. */
  address: z.string(),
  tokens: z.array(z.string()).min(1),
  count: z.int().positive(),
  ratePerS: z.number().positive(),
});
export type ChecksOrder = z.infer<typeof orderSchema>;

export const checksReportSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("done"),
    /** Of the checks that were allowed, from the moment at which each was due. */
    latenciesMs: z.array(z.number()),
    failures: z.int(),
    firstFailure: z.string().optional(),
  }),
  z.object({ kind: z.literal("broken off"), message: z.string() }),
]);
export type ChecksReport = z.infer<typeof checksReportSchema>;

const clients = new Map<string, Client>();

function clientOf(address: string): Client {
  const client = clients.get(address) ?? new Client(address, credentials.createInsecure());
  clients.set(address, client);
  return client;
}

/** As Envoy writes it with the settings of envoy.yaml: raw headers, one by one. */
function requestWith(token: string): CheckRequest {
  const http = {
    id: "1234567890123456789",
    method: "GET",
    path: "/reports/42",
    host: "api.example",
    scheme: "http",
    protocol: "HTTP/1.1",
    headers: {},
    headerMap: {
      headers: [{ key: "authorization", value: "", rawValue: Buffer.from(`Bearer ${token}`) }],
    },
  };
  return { attributes: { request: { http }, contextExtensions: { "sekisho.auth": "required" } } };
}

const { path, requestSerialize, responseDeserialize } = AuthorizationService.check;

function sendCheck(client: Client, token: string): Exchange<CheckResponse> {
  let abandon = (): void => undefined;
  const answered = new Promise<CheckResponse>((resolve, reject) => {
    const call = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      requestWith(token),
      (error, response) => {
        if (response === undefined) reject(error ?? new Error("there was no answer"));
        else resolve(response);
      },
    );
    abandon = () => call.cancel();
  });
  return { answered, abandon };
}

function faultOf({ httpResponse }: CheckResponse): string | undefined {
  if (httpResponse?.$case === "okResponse") return undefined;
  const body = httpResponse?.value.body;
  return `not allowed: ${body ?? "an answer without a verdict"}`;
}

async function carryOut({ address, tokens, ...stretch }: ChecksOrder): Promise<ChecksReport> {
  const client = clientOf(address);
  const tokenOf = (index: number): string => tokens[index % tokens.length] ?? "";
  try {
    const result = await sendStretch<CheckResponse>(
      stretch,
      { send: (index) => sendCheck(client, tokenOf(index)), faultOf },
      () => undefined,
    );
    const { failures, firstFailure } = result;
    const latenciesMs = [...result.latenciesMs].filter((ms) => !Number.isNaN(ms));
    return { kind: "done", latenciesMs, failures, firstFailure };
  } catch (error) {
    return { kind: "broken off", message: error instanceof Error ? error.message : String(error) };
  }
}

// Without a parent the answers are read by no one.
process.on("disconnect", () => process.exit());
process.on("message", (message) => {
  carryOut(orderSchema.parse(message)).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      throw error;
    },
  );
});
