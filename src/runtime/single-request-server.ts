/**
 * As much of HTTP/1.1 as probes, Prometheus and operators need: one request and one answer per
 * connection. The port needs no credentials, so any client may cost only a little time and memory,
 * and must not lock others out:
 *
 *   waiting   the head of a request is read, up to HEAD_MAX_BYTES     -> answering; after
 *                                                                        HEAD_TIMEOUT_MS: 408
 *   answering one page is made and written; further input is          -> closed by the client, or cut
 *             discarded, up to DISCARD_MAX_BYTES, then not read          after ANSWER_TIMEOUT_MS
 *
 * Requests after the first one are never parsed. Beyond CONNECTIONS_MAX, the oldest connection is cut
 * for the newest.
 */
import { STATUS_CODES } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { removeDeadSocket } from "./dead-socket.js";
import type { ListenAddress } from "./listen-address.js";

const CONNECTIONS_MAX = 64;
const HEAD_MAX_BYTES = 8 * 1024;
const HEAD_TIMEOUT_MS = 2000;
/** To make a page and to send it. */
const ANSWER_TIMEOUT_MS = 5000;
/** A client that is cut off while it still sends may lose its answer: so some input is discarded. */
const DISCARD_MAX_BYTES = 64 * 1024;

export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

export interface SingleRequestServer {
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/** Makes the page for a method and a target. Where it rejects, the answer is 500 without a reason. */
export type MakePage = (method: string, target: string) => Promise<Page>;

/** Rejects with Node's error if the address cannot be had. */
export async function listenForSingleRequests(
  address: ListenAddress,
  makePage: MakePage,
): Promise<SingleRequestServer> {
  const connections = new Set<Connection>();
  const accepted = new Set<Connection>();
  // One per turn of the event loop: a burst must not hold up the checks.
  const readNext = (): void => {
    const [next] = accepted;
    if (next === undefined) return;
    accepted.delete(next);
    next.read();
    if (accepted.size > 0) setImmediate(readNext);
  };
  const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => {
    // A set is in order of insertion. A probe is answered long before it is the oldest.
    const [oldest] = connections;
    if (oldest !== undefined && connections.size >= CONNECTIONS_MAX) {
      connections.delete(oldest);
      oldest.cut();
    }
    const connection = new Connection(socket, makePage);
    connections.add(connection);
    accepted.add(connection);
    if (accepted.size === 1) setImmediate(readNext);
    socket.once("close", () => {
      connections.delete(connection);
      accepted.delete(connection);
    });
  });
  await removeDeadSocket(address);
  if (address.kind === "unix") server.listen({ path: address.path });
  else server.listen({ host: address.host, port: address.port });
  await once(server, "listening");
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    for (const connection of connections) connection.cut();
    await closed;
  };
  return { address: boundAddress(server, address), close };
}

class Connection {
  readonly #socket: Socket;
  readonly #makePage: MakePage;
  #head = "";
  #waits = true;
  #discardedBytes = 0;
  #timer: NodeJS.Timeout;

  constructor(socket: Socket, makePage: MakePage) {
    this.#socket = socket;
    this.#makePage = makePage;
    this.#timer = setTimeout(() => {
      this.#send("GET", text(408, "no complete request arrived in time\n"));
    }, HEAD_TIMEOUT_MS);
    // The client has reset its connection.
    socket.on("error", () => undefined);
    socket.once("close", () => clearTimeout(this.#timer));
  }

  /** Begins to read. */
  read(): void {
    if (!this.#socket.destroyed) this.#socket.on("data", (bytes) => this.#take(bytes)).resume();
  }

  cut(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (!this.#waits) {
      this.#discardedBytes += bytes.length;
      // Unread input takes only the kernel's memory, and the timer ends the connection.
      if (this.#discardedBytes > DISCARD_MAX_BYTES) this.#socket.pause();
      return;
    }
    const from = Math.max(0, this.#head.length - END_OF_HEAD.length);
    this.#head += bytes.toString("latin1", 0, HEAD_MAX_BYTES - this.#head.length);
    const end = this.#head.indexOf(END_OF_HEAD, from);
    if (end >= 0) this.#answer(this.#head.slice(0, end));
    else if (this.#head.length >= HEAD_MAX_BYTES) {
      this.#send("GET", text(431, `a request has ${HEAD_MAX_BYTES} bytes at most\n`));
    }
  }

  #answer(head: string): void {
    const [, method, target] = REQUEST_LINE.exec(head) ?? [];
    if (method === undefined || target === undefined) {
      this.#send("GET", text(400, "that is not HTTP/1.1\n"));
      return;
    }
    this.#beginAnswer();
    this.#makePage(method, target).then(
      (page) => this.#send(method, page),
      () => this.#send(method, text(500, "the page could not be made\n")),
    );
  }

  #beginAnswer(): void {
    this.#waits = false;
    this.#head = "";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.cut(), ANSWER_TIMEOUT_MS);
  }

  #send(method: string, { status, contentType, body }: Page): void {
    if (this.#waits) this.#beginAnswer();
    if (this.#socket.destroyed) return;
    this.#socket.cork();
    this.#socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n` +
        `content-type: ${contentType}\r\ncontent-length: ${body.length}\r\n` +
        `cache-control: no-store\r\ndate: ${new Date().toUTCString()}\r\nconnection: close\r\n\r\n`,
    );
    // Written without a copy: connections that do not read share the bytes of one page.
    if (method !== "HEAD") this.#socket.write(body);
    this.#socket.end();
  }
}

const END_OF_HEAD = "\r\n\r\n";
const REQUEST_LINE = /^([A-Z]+) (\S+) HTTP\/1\.[01](?:\r\n|$)/;

export function text(status: number, body: string): Page {
  return { status, contentType: "text/plain; charset=utf-8", body: Buffer.from(body) };
}

function boundAddress(server: Server, asked: ListenAddress): ListenAddress {
  const bound = server.address();
  if (asked.kind === "unix" || bound === null || typeof bound === "string") return asked;
  return { ...asked, port: bound.port };
}
