/** Watches the connections of the gRPC port, and ends them as `connection-limits.ts` decides. */
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import {
  CLOSING_MAX_MS,
  endCause,
  isResetting,
  OPEN_MAX,
  REQUEST_MAX_MS,
  RESETS_PER_S,
  UNFINISHED_AFTER_LOOKS,
  UNFINISHED_MAX,
  yieldingOf,
  type ConnectionFacts,
  type ConnectionLimits,
  type EndCause,
} from "./connection-limits.js";

const LOOK_MS = 100;

export interface ConnectionsObserver {
  ended(cause: EndCause): void;
}

class Connection implements ConnectionFacts {
  readonly session: ServerHttp2Session;
  readonly socket: Socket;
  readonly sinceMs: number;
  /** When each was opened, oldest first. */
  readonly streams = new Map<ServerHttp2Stream, number>();
  usedMs: number;
  answered = 0;
  answeredMs: number | undefined;
  resets = 0;
  opened = 0;
  /** As of the last look. */
  unfinished = 0;
  /** How many looks in a row found that nothing was received since the one before. */
  quietLooks = 0;
  seen = { bytes: 0, opened: 0, answered: 0 };
  /** When its socket is destroyed, once it is being ended. */
  endsMs: number | undefined;

  constructor(session: ServerHttp2Session, socket: Socket, nowMs: number) {
    this.session = session;
    this.socket = socket;
    this.sinceMs = nowMs;
    this.usedMs = nowMs;
  }

  get open(): number {
    return this.streams.size;
  }
}

export class CheckConnections {
  readonly #limits: ConnectionLimits;
  readonly #observer: ConnectionsObserver;
  readonly #connections = new Set<Connection>();
  /** The subset that is being ended. */
  readonly #ending = new Set<Connection>();
  readonly #looking: NodeJS.Timeout;
  /** As of the last look, so that a request does not have to read the clock. */
  #nowMs = performance.now();
  /** Requests on connections that are not destroyed. */
  #open = 0;

  constructor(limits: ConnectionLimits, observer: ConnectionsObserver) {
    this.#limits = limits;
    this.#observer = observer;
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  get count(): number {
    return this.#connections.size;
  }

  add(session: ServerHttp2Session, socket: Socket): void {
    const connection = new Connection(session, socket, this.#nowMs);
    this.#connections.add(connection);
    socket.once("close", () => {
      this.#connections.delete(connection);
      this.#ending.delete(connection);
    });
    const closed = (stream: ServerHttp2Stream): void => this.#closed(connection, stream);
    session.on("stream", (stream) => {
      connection.streams.set(stream, this.#nowMs);
      connection.opened += 1;
      connection.usedMs = this.#nowMs;
      stream.on("close", () => closed(stream));
      this.#open += 1;
      if (this.#open > OPEN_MAX) this.#endGreatest("open", OPEN_MAX);
    });
    if (this.#connections.size - this.#ending.size <= this.#limits.connectionsMax) return;
    this.#destroy(yieldingOf(this.#remaining(), connection) ?? connection, "yielding");
  }

  /** Ends all of them at once. */
  close(): void {
    clearInterval(this.#looking);
    for (const { session, socket } of this.#connections) {
      session.destroy();
      socket.destroy();
    }
  }

  *#remaining(): Generator<Connection> {
    for (const connection of this.#connections) {
      if (connection.endsMs === undefined) yield connection;
    }
  }

  #closed(connection: Connection, stream: ServerHttp2Stream): void {
    if (connection.streams.delete(stream)) this.#open -= 1;
    connection.usedMs = this.#nowMs;
    if (stream.rstCode === constants.NGHTTP2_NO_ERROR && stream.headersSent) {
      connection.answered += 1;
      connection.answeredMs = this.#nowMs;
      return;
    }
    connection.resets += 1;
    if (connection.endsMs === undefined && isResetting(connection)) {
      this.#end(connection, "resetting");
    }
  }

  #look(): void {
    const beforeMs = this.#nowMs;
    this.#nowMs = performance.now();
    for (const connection of this.#connections) {
      if (connection.endsMs === undefined) this.#lookAt(connection, beforeMs);
      else if (this.#nowMs >= connection.endsMs) connection.socket.destroy();
    }
    this.#endGreatest("unfinished", UNFINISHED_MAX);
  }

  #lookAt(connection: Connection, beforeMs: number): void {
    const { streams, seen, opened, answered } = connection;
    const elapsedMs = this.#nowMs - beforeMs;
    connection.resets = Math.max(0, connection.resets - (elapsedMs / 1000) * RESETS_PER_S);
    const bytes = connection.socket.bytesRead;
    const received = {
      elapsedMs,
      bytes: bytes - seen.bytes,
      bytesEver: bytes,
      opened: opened - seen.opened,
      answered: answered - seen.answered,
    };
    connection.quietLooks = received.bytes === 0 ? connection.quietLooks + 1 : 0;
    connection.unfinished = 0;
    const isQuiet = connection.quietLooks >= UNFINISHED_AFTER_LOOKS;
    for (const [stream, openedMs] of streams) {
      const isLate = this.#nowMs - openedMs >= REQUEST_MAX_MS;
      if (!isQuiet && !isLate) break;
      if (isReceived(stream)) continue;
      connection.unfinished += isQuiet ? 1 : 0;
      if (isLate) stream.close(constants.NGHTTP2_CANCEL);
    }
    connection.seen = { bytes, opened, answered };
    const cause = endCause(connection, received, this.#limits, this.#nowMs);
    if (cause === "silent" || cause === "flooding") this.#destroy(connection, cause);
    else if (cause !== undefined) this.#end(connection, cause);
  }

  /** Ends the connections with the most such requests until there are at most `max`. */
  #endGreatest(what: "unfinished" | "open", max: number): void {
    const counts = [...this.#remaining()].map((one) => ({ one, count: one[what] }));
    let total = counts.reduce((sum, { count }) => sum + count, 0);
    for (const { one, count } of counts.sort((a, b) => b.count - a.count)) {
      if (total <= max) return;
      this.#destroy(one, "unfinished");
      total -= count;
    }
  }

  /** Answers open requests, and accepts no more. */
  #end(connection: Connection, cause: EndCause): void {
    this.#ending.add(connection);
    connection.endsMs = this.#nowMs + CLOSING_MAX_MS;
    connection.session.close();
    this.#observer.ended(cause);
  }

  /** The socket is destroyed at the next look, so that the GOAWAY with the reason is still sent. */
  #destroy(connection: Connection, cause: EndCause): void {
    this.#ending.add(connection);
    connection.endsMs = this.#nowMs;
    this.#open -= connection.open;
    connection.streams.clear();
    if (!connection.session.destroyed) {
      connection.session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      connection.session.destroy();
    }
    this.#observer.ended(cause);
  }
}

/** Whether the request was received completely. */
function isReceived(stream: ServerHttp2Stream): boolean {
  return stream.destroyed || stream.state.remoteClose === 1;
}
