/** HTTP/2 frame by frame (RFC 9113), for what no client would send to the gRPC port. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { constants } from "node:http2";
import { CheckRequest } from "../../src/generated/envoy/service/auth/v3/external_auth.js";

export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const FLAG = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

const HEADER_BYTES = 9;
const NO_BYTES: Buffer = Buffer.alloc(0);

export function frame(type: number, flags: number, stream: number, payload = NO_BYTES): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** What a client sends first (RFC 9113, section 3.4). */
export const CONNECTION_PREFACE = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(FRAME.settings, FLAG.none, 0),
]);

/** A header field that enters no table (RFC 7541, section 6.2.2). */
export function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([length(bytes.length), bytes]);
}

/** RFC 7541, section 5.1, with a prefix of seven bits. */
function length(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The header block of a check: POST and http are in the static table. */
export const CHECK_HEADERS = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  field(":path", "/envoy.service.auth.v3.Authorization/Check"),
  field(":authority", "sekisho"),
  field("content-type", "application/grpc"),
  field("te", "trailers"),
]);

/** A check's message, as gRPC frames it. */
export function checkMessage(headers: Readonly<Record<string, string>> = {}, host = "h"): Buffer {
  const http = { id: "1", method: "GET", path: "/", host, scheme: "http", protocol: "h2" };
  const request = { http: { ...http, headers, headerMap: undefined } };
  const bytes = CheckRequest.encode({ attributes: { request, contextExtensions: {} } }).finish();
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** A whole check. */
export function checkFrames(stream: number, message = checkMessage()): Buffer {
  return Buffer.concat([
    frame(FRAME.headers, FLAG.endHeaders, stream, CHECK_HEADERS),
    frame(FRAME.data, FLAG.endStream, stream, message),
  ]);
}

export function resetFrame(stream: number, code: number = constants.NGHTTP2_CANCEL): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(code);
  return frame(FRAME.rstStream, FLAG.none, stream, payload);
}

/** One connection. It never closes by itself, not even when the server has. */
export class RawHttp2 {
  readonly socket: Socket;
  /** Those that the server sent, in order; kept only where somebody waits for frames. */
  readonly frames: Frame[] = [];
  /** Settles when no byte can come from the server any more. */
  readonly ended: Promise<unknown>;
  #rest = NO_BYTES;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    this.ended = Promise.race([once(socket, "end"), once(socket, "close")]).catch(() => undefined);
    socket.on("data", (bytes) => this.#read(bytes));
  }

  /** Connects and says nothing. */
  static async silent(port: number): Promise<RawHttp2> {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return new RawHttp2(socket);
  }

  /** Connects and begins HTTP/2. */
  static async open(port: number): Promise<RawHttp2> {
    const connection = await RawHttp2.silent(port);
    connection.send(CONNECTION_PREFACE);
    return connection;
  }

  send(...frames: readonly Buffer[]): boolean {
    return !this.socket.destroyed && this.socket.write(Buffer.concat(frames));
  }

  /** Waits until the server has sent such a frame, for as long as the test lasts. */
  async waitFor(matches: (one: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  close(): void {
    this.socket.destroy();
  }

  #read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < end) break;
      this.frames.push({
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5),
        payload: this.#rest.subarray(HEADER_BYTES, end),
      });
      this.#rest = this.#rest.subarray(end);
    }
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
