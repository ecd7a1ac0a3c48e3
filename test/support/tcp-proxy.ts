import { once } from "node:events";
import { createServer, connect, type Server, type Socket } from "node:net";

/** A TCP proxy on the loopback interface that loses what it is told to lose. */
export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #mode: "pass" | "refuse" | "swallow_replies" | "hang" = "pass";
  /** How many connections were accepted. */
  accepted = 0;
  /** What becomes of the bytes that the server sends. */
  rewrite: (data: Buffer) => Buffer = (data) => data;

  #targetPort: number;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer((client) => {
      this.accepted += 1;
      if (this.#mode === "refuse") client.destroy();
      else this.#join(client, connect({ host: "127.0.0.1", port: this.#targetPort }));
    });
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    proxy.#server.listen({ host: "127.0.0.1", port: 0 });
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return `redis://127.0.0.1:${address.port}`;
  }

  /** New connections lead to another server from now on. */
  leadTo(targetPort: number): void {
    this.#targetPort = targetPort;
  }

  /** Passes everything again, for new connections and those that are there. */
  mend(): void {
    this.#mode = "pass";
    for (const pair of this.#pairs) {
      if (pair.some((socket) => socket.destroyed)) for (const socket of pair) socket.destroy();
    }
  }

  /** Cuts every connection and refuses new ones. */
  cutOff(): void {
    this.#mode = "refuse";
    this.cutConnections();
  }

  cutConnections(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
  }

  /** What the server answers is lost from now on; what the clients send arrives. */
  swallowReplies(): void {
    this.#mode = "swallow_replies";
  }

  /** Nothing arrives any more on either side, not even that the other one has closed. */
  hang(): void {
    this.#mode = "hang";
  }

  async close(): Promise<void> {
    this.cutConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #join(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    const end = (): void => {
      if (this.#mode === "hang" && !(client.destroyed && server.destroyed)) return;
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    client.on("data", (data) => {
      if (this.#mode !== "hang") server.write(data);
    });
    server.on("data", (data) => {
      if (this.#mode === "pass") client.write(this.rewrite(data));
    });
  }
}
