import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from "node:http";

/** What the server does with the next requests. */
export type JwksAnswer =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body: string | Uint8Array;
      readonly headers: Readonly<Record<string, string>>;
    }
  /** Never answers. */
  | { readonly kind: "hang" }
  /** Sends the headers and the first bytes, and never ends. */
  | { readonly kind: "hang_in_body"; readonly body: string }
  /** Sends bytes for as long as somebody reads them. */
  | { readonly kind: "endless" };

/** An HTTP server on loopback that serves a key set, or whatever a test wants in its place. */
export class JwksServer {
  readonly #server: Server;
  readonly #port: number;
  #answer: JwksAnswer;
  #held: (() => void)[] | undefined;
  #arrivals: (() => void)[] = [];
  /** The headers of each request so far. */
  readonly requests: IncomingHttpHeaders[] = [];
  /** How many requests are neither answered to the end nor given up by the client. */
  unfinished = 0;

  private constructor(server: Server, port: number, answer: JwksAnswer) {
    this.#server = server;
    this.#port = port;
    this.#answer = answer;
    server.on("request", (request, response) => {
      this.requests.push(request.headers);
      this.unfinished += 1;
      response.on("close", () => {
        this.unfinished -= 1;
      });
      for (const arrived of this.#arrivals.splice(0)) arrived();
      const answer = this.#answer;
      const respond = () => reply(response, answer);
      if (this.#held === undefined) respond();
      else this.#held.push(respond);
    });
  }

  static async start(json: unknown = { keys: [] }): Promise<JwksServer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no TCP address");
    return new JwksServer(server, address.port, jsonAnswer(json));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/jwks`;
  }

  serve(json: unknown): void {
    this.#answer = jsonAnswer(json);
  }

  serveText(
    body: string | Uint8Array,
    { status = 200, headers = {} }: { status?: number; headers?: Record<string, string> } = {},
  ): void {
    this.#answer = { kind: "answer", status, body, headers };
  }

  behave(answer: JwksAnswer): void {
    this.#answer = answer;
  }

  /** Lets requests wait until the returned function is called; each gets the answer of its time. */
  hold(): () => void {
    const held: (() => void)[] = [];
    this.#held = held;
    return () => {
      this.#held = undefined;
      for (const respond of held) respond();
    };
  }

  /** Resolves when the next request has arrived. */
  nextRequest(): Promise<void> {
    return new Promise((resolve) => this.#arrivals.push(resolve));
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

function jsonAnswer(json: unknown): JwksAnswer {
  const headers = { "content-type": "application/jwk-set+json" };
  return { kind: "answer", status: 200, body: JSON.stringify(json), headers };
}

function reply(response: ServerResponse, answer: JwksAnswer): void {
  switch (answer.kind) {
    case "answer":
      response.writeHead(answer.status, answer.headers).end(answer.body);
      return;
    case "hang":
      return;
    case "hang_in_body":
      response.writeHead(200).write(answer.body);
      return;
    case "endless": {
      const pump = () => {
        while (!response.destroyed && response.write(" ".repeat(16_384)));
      };
      response.on("drain", pump);
      response.writeHead(200);
      pump();
    }
  }
}
