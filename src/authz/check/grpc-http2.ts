/**
 * The HTTP/2 server inside a grpc-js server. grpc-js creates it itself, passes few options on and
 * exposes no connections, so two of its private members are read here, and nowhere else. An upgrade
 * that renames them fails at startup, not silently.
 */
import type { Server } from "@grpc/grpc-js";
import { EventEmitter } from "node:events";
import type { ServerHttp2Session, ServerHttp2Stream, ServerOptions } from "node:http2";
import type { Socket } from "node:net";

/** Node ≥ 22.10 has these; an older one ignores them, and nghttp2's 1,000 and 33 stay. */
export interface Http2Options extends ServerOptions {
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
}

/** Call before the server is bound. */
export function setHttp2Options(server: Server, options: Http2Options): void {
  const common: unknown = Reflect.get(server, "commonServerOptions");
  if (typeof common !== "object" || common === null) throw unknownGrpc();
  Object.assign(common, options);
}

/** Calls `listener` for each new connection. Call right after the server was bound. */
export function onConnection(
  server: Server,
  listener: (session: ServerHttp2Session, socket: Socket) => void,
): void {
  for (const http2 of http2ServersOf(server)) {
    // Node creates the session while it emits the connection. A session that has ended does not
    // give its socket away.
    let accepted: Socket | undefined;
    http2.prependListener("connection", (socket: Socket) => (accepted = socket));
    http2.on("session", (session: ServerHttp2Session) => {
      if (accepted !== undefined) listener(session, accepted);
    });
  }
}

/** Lets `schedule` decide when the server begins each request. Call after the server was bound. */
export function scheduleRequests(
  server: Server,
  schedule: (stream: ServerHttp2Stream, begin: () => void) => void,
): void {
  for (const http2 of http2ServersOf(server)) {
    const listeners = http2.listeners("stream");
    if (listeners.length === 0) throw unknownGrpc();
    http2.removeAllListeners("stream");
    http2.on("stream", (stream: ServerHttp2Stream, ...headers: unknown[]) => {
      // Until the request is begun, nothing else handles the error of a stream that is reset.
      stream.on("error", ignoreError);
      schedule(stream, () => {
        for (const listener of listeners) listener.call(http2, stream, ...headers);
      });
    });
  }
}

function ignoreError(): void {
  // The stream's "close" event is enough.
}

function http2ServersOf(server: Server): readonly EventEmitter[] {
  const servers: unknown = Reflect.get(server, "http2Servers");
  if (!(servers instanceof Map) || servers.size === 0) throw unknownGrpc();
  return [...servers.keys()].map((http2: unknown) => {
    if (http2 instanceof EventEmitter) return http2;
    throw unknownGrpc();
  });
}

function unknownGrpc(): Error {
  return new Error("unsupported version of @grpc/grpc-js: its HTTP/2 server was not found");
}
