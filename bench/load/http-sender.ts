import { Agent, request as startRequest } from "node:http";
import type { IncomingMessage } from "node:http";

import type { Exchange } from "./open-loop.js";

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Sends GET requests to loopback ports over connections that are kept open and bounded. */
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

  send(target: {
    readonly port: number;
    readonly path: string;
    token: string;
  }): Exchange<HttpAnswer> {
    const request = startRequest({
      agent: this.#agent,
      host: "127.0.0.1",
      port: target.port,
      path: target.path,
      headers: { authorization: `Bearer ${target.token}` },
    });
    const answered = new Promise<HttpAnswer>((resolve, reject) => {
      request.once("error", reject);
      request.once("response", (response) => readAnswer(response, resolve, reject));
    });
    request.end();
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
