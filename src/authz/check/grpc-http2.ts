/**
 * The HTTP/2 server inside of a grpc-js server. grpc-js makes it by itself, passes few options on
 * and shows no connection, so two of its private members are read here, and nowhere else. An
 * upgrade that renames them fails at the start, not in silence.
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

/** Before the server is bound. */
export function setHttp2Options(server: Server, options: Http2Options): void {
  const common: unknown = Reflect.get(server, "commonServerOptions");
  if (typeof common !== "object" || common === null) throw unknownGrpc();
  Object.assign(common, options);
}

/** Calls back for each connection from now on, which is every one if it is called once bound. */
export function onConnection(
  server: Server,
  listener: (session: ServerHttp2Session, socket: Socket) => void,
): void {
  for (const http2 of http2ServersOf(server)) {
    // Node makes the session while it emits the connection. Of a session that has ended, it does
    // not give the socket away.
    let accepted: Socket | undefined;
    http2.prependListener("connection", (socket: Socket) => (accepted = socket));
    http2.on("session", (session: ServerHttp2Session) => {
      if (accepted !== undefined) listener(session, accepted);
    });
  }
}

/** Has `schedule` decide when the server begins each request from now on. Once bound. */
export function scheduleRequests(
  server: Server,
  schedule: (stream: ServerHttp2Stream, begin: () => void) => void,
): void {
  for (const http2 of http2ServersOf(server)) {
    const listeners = http2.listeners("stream");
    if (listeners.length === 0) throw unknownGrpc();
    http2.removeAllListeners("stream");
    http2.on("stream", (stream: ServerHttp2Stream, ...headers: unknown[]) => {
      // Until it is begun, nothing else listens for the errors of what its client resets.
      stream.on("error", ignoreError);
      schedule(stream, () => {
        for (const listener of listeners) listener.call(http2, stream, ...headers);
      });
    });
  }
}

function ignoreError(): void {
  // Its "close" says all that matters.
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
  return new Error("this version of @grpc/grpc-js makes its HTTP/2 server in an unknown way");
}
