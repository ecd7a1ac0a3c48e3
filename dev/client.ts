import { Agent, request as sendRequest } from "node:http";
import type { IncomingMessage } from "node:http";

import { z } from "zod";

import { echoSchema } from "./echo-api.js";
import type { Echo } from "./echo-api.js";

const ANSWER_TIMEOUT_MS = 5_000;

const problemSchema = z.object({ code: z.string() });

export interface Answer {
  readonly status: number;
  /** The `code` of a problem (RFC 9457). */
  readonly code: string | undefined;
  /** What the API saw, where the request reached it. */
  readonly echo: Echo | undefined;
  /** When the answer began to arrive, on the monotonic clock of `performance.now()`. */
  readonly atMs: number;
}

export interface AskOptions {
  /** Sent as a bearer token. */
  readonly token?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends requests to one Envoy over keep-alive connections. */
export class Client {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.#url = url;
  }

  async get(path: string, options: AskOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = sendRequest(new URL(path, this.#url), {
        agent: this.#agent,
        headers: {
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
          ...options.headers,
        },
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      request.once("error", reject);
      request.once("response", (response) => {
        readAnswer(response, performance.now()).then(resolve, reject);
      });
      request.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readAnswer(response: IncomingMessage, atMs: number): Promise<Answer> {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => (text += part));
  await new Promise((resolve, reject) => response.once("end", resolve).once("error", reject));
  const isJson = response.headers["content-type"]?.includes("json") === true;
  const body: unknown = isJson ? JSON.parse(text) : undefined;
  return {
    status: response.statusCode ?? 0,
    code: problemSchema.safeParse(body).data?.code,
    echo: echoSchema.safeParse(body).data,
    atMs,
  };
}

/** "200" or "401 session_revoked". */
export function describeAnswer(answer: Answer): string {
  return answer.code === undefined ? `${answer.status}` : `${answer.status} ${answer.code}`;
}
