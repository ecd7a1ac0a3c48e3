/** One check on a sidecar's gRPC port, as Envoy sends it with the settings of envoy.yaml. */
import { Client, credentials } from "@grpc/grpc-js";

import {
  AuthorizationService,
  type CheckRequest,
  type CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import type { Exchange } from "./open-loop.js";

const clients = new Map<string, Client>();

/** @param address HOST:PORT or unix:/PATH; it is connected to once. */
export function checksClient(address: string): Client {
  const client = clients.get(address) ?? new Client(address, credentials.createInsecure());
  clients.set(address, client);
  return client;
}

/** Raw headers, one by one. */
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

export function sendCheck(client: Client, token: string): Exchange<CheckResponse> {
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

/** What a check that was not allowed was answered; undefined: it was allowed. */
export function refusalIn({ httpResponse }: CheckResponse): string | undefined {
  if (httpResponse?.$case === "okResponse") return undefined;
  return httpResponse?.value.body ?? "an answer without a verdict";
}
