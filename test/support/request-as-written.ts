import { request as sendRequest } from "node:http";

import type { EnvoyProcess } from "../../dev/envoy-process.js";

/** Sends a request as it is written: no path is tidied up, no header joined or renamed. */
export async function sendAsWritten(
  envoy: Pick<EnvoyProcess, "url">,
  path: string,
  options: { headers?: readonly string[] } = {},
) {
  const { hostname, port } = new URL(envoy.url);
  return new Promise<{
    status: number | undefined;
    headers: NodeJS.Dict<string | string[]>;
    requestId: string;
    body: string;
  }>((resolve, reject) => {
    const request = sendRequest(
      {
        hostname,
        port,
        path,
        timeout: 30_000,
        agent: false,
        headers: ["host", "example.com", ...(options.headers ?? [])],
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () =>
          resolve({
            status: response.statusCode,
            headers: response.headers,
            requestId: String(response.headers["x-request-id"]),
            body: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    request.once("timeout", () => request.destroy(new Error("no answer within 30 s")));
    request.once("error", reject);
    request.end();
  });
}
