import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";

import { z } from "zod";

/** Replaces the token, which is long and must not be shown on screens. */
const HIDDEN = "(hidden)";

/** A request as the API behind Envoy received it; repeated headers arrive joined by commas. */
export const echoSchema = z.object({
  method: z.string(),
  path: z.string(),
  headers: z.record(z.string(), z.string()),
});
export type Echo = z.infer<typeof echoSchema>;

/** A small API that answers every request with what arrived, so that identity headers can be seen. */
export class EchoApi {
  readonly port: number;
  readonly #server: Server;
  #requests = 0;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    server.on("request", (request, response) => {
      this.#requests += 1;
      answer(request, response);
    });
  }

  static async start(): Promise<EchoApi> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: 0 }, resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no TCP address");
    return new EchoApi(server, address.port);
  }

  /** How many requests have reached it. */
  get requests(): number {
    return this.#requests;
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [
    name,
    name === "authorization" ? HIDDEN : Array.isArray(value) ? value.join(",") : (value ?? ""),
  ]);
  const echo: Echo = {
    method: request.method ?? "",
    path: request.url ?? "",
    headers: Object.fromEntries(headers),
  };
  request.resume();
  response.setHeader("content-type", "application/json");
  response.end(`${JSON.stringify(echo)}\n`);
}
