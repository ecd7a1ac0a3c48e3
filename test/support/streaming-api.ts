import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** Far more often than any timeout that a test sets. */
const EVENT_EVERY_MS = 50;

/** An API behind Envoy whose answers do not end: server-sent events, and connections that echo. */
export class StreamingApi {
  readonly port: number;
  /** The headers of each request that arrived, upgrades included. */
  readonly arrived: IncomingMessage["headers"][] = [];
  readonly #server: Server;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    server.on("request", (request, response) => {
      this.arrived.push(request.headers);
      answer(request, response);
    });
    server.on("upgrade", (request, socket) => {
      this.arrived.push(request.headers);
      socket.on("error", () => socket.destroy());
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n");
      socket.write("upgrade: websocket\r\n\r\n");
      socket.pipe(socket);
    });
  }

  static async start(): Promise<StreamingApi> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: "127.0.0.1", port: 0 }, resolve);
    });
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no TCP address");
    return new StreamingApi(server, address.port);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

/** Events without end where the path ends in `/ticking`, one and then silence in `/silent`. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  const [, kind] = /\/(ticking|silent)$/.exec(request.url ?? "") ?? [];
  if (kind === undefined) {
    response.end("done\n");
    return;
  }
  response.setHeader("content-type", "text/event-stream");
  response.write("data: 0\n\n");
  if (kind === "silent") return;
  const ticking = setInterval(() => response.write("data: 1\n\n"), EVENT_EVERY_MS);
  response.once("close", () => clearInterval(ticking));
}
