/** Errors that Node reports before there is a request: answered by hand, then the socket closes. */
import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { problemBody, type Problem } from "./problem.js";
import { problemHeaders } from "./problem-headers.js";

export function answerClientError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const problem = problemOfClient(error.code);
  const body = JSON.stringify(problemBody(problem));
  const { status } = problemBody(problem);
  const headers = {
    ...problemHeaders(problem),
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    connection: "close",
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n${lines.join("")}\r\n`;
  socket.end(head + body, () => socket.destroy());
}

function problemOfClient(code: string | undefined): Problem {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return { code: "headers_too_large" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { code: "request_timeout" };
    default:
      return { code: "request_invalid", detail: "The request is not HTTP/1.1." };
  }
}
