import { Agent, request as startRequest } from "node:http";
import type { IncomingMessage } from "node:http";

import type { Exchange } from "./open-loop.js";

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface HttpTarget {
  readonly port: number;
  readonly path: string;
  /** GET if left out. */
  readonly method?: "GET" | "POST";
  readonly token?: string;
  /** Sent as JSON. */
  readonly body?: object;
}

/** Sends requests to loopback ports over connections that are kept open and bounded. */
export class HttpSender {
  readonly #agent: Agent;

  /** Further requests wait for one of these connections, and the wait is part of their latency. */
  constructor(connectionsMax: number) {
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: connectionsMax,
      maxFreeSockets: connectionsMax,
    });
  }

  send({ port, path, method = "GET", token, body }: HttpTarget): Exchange<HttpAnswer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const request = startRequest({
      agent: this.#agent,
      host: "127.0.0.1",
      port,
      path,
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(text === undefined ? {} : { "content-type": "application/json" }),
      },
    });
    const answered = new Promise<HttpAnswer>((resolve, reject) => {
      request.once("error", reject);
      request.once("response", (response) => readAnswer(response, resolve, reject));
    });
    request.end(text);
    return {
      answered,
      abandon: () => request.destroy(new Error("no answer in time")),
    };
  }

  close(): void {
    this.#agent.destroy();
  }
}

function readAnswer(
  response: IncomingMessage,
  resolve: (answer: HttpAnswer) => void,
  reject: (error: Error) => void,
): void {
  let body = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => (body += part));
  response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
  response.once("error", reject);
}
