/** What a node answers to the health check that Envoy sends (grpc.health.v1). */
import { Client, credentials } from "@grpc/grpc-js";
import type { AuthzNode } from "../../dev/authz-node.js";
import { waitUntil } from "../../dev/wait-for.js";

/** HealthCheckResponse.status, field 1: https://github.com/grpc/grpc-proto, health.proto. */
const STATUS_BY_NUMBER = new Map([
  [1, "SERVING"],
  [2, "NOT_SERVING"],
]);
const TIMEOUT_MS = 20_000;
const METHOD = "/grpc.health.v1.Health/Check";

/** A node looks every 50 ms whether it has become ready, so this can follow `/readyz` by as much. */
export async function untilServing(node: AuthzNode): Promise<void> {
  await waitUntil(async () => (await grpcHealthOf(node)) === "SERVING", {
    what: `gRPC health of ${node.nodeId} to say SERVING`,
    timeoutMs: TIMEOUT_MS,
  });
}

/** Asks for the server as a whole: an empty request. */
export async function grpcHealthOf(node: AuthzNode): Promise<string> {
  const client = new Client(node.listen, credentials.createInsecure());
  try {
    const reply = await new Promise<Buffer | undefined>((resolve, reject) => {
      const deadline = Date.now() + TIMEOUT_MS;
      const bytes = (content: Buffer): Buffer => content;
      client.makeUnaryRequest(METHOD, bytes, bytes, Buffer.alloc(0), { deadline }, (error, got) => {
        if (error === null) resolve(got);
        else reject(error);
      });
    });
    // Tag 0x08: field 1 as a varint.
    const status = reply?.[0] === 0x08 ? reply[1] : undefined;
    return STATUS_BY_NUMBER.get(status ?? 0) ?? "UNKNOWN";
  } finally {
    client.close();
  }
}
