/** The HTTP side door for probes, Prometheus and people. Never on the request path. */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { removeDeadSocket } from "../listen/dead-socket.js";
import type { ListenAddress } from "../listen/listen-address.js";
import { describeReadiness, isReady, type Components } from "./health.js";

export interface OpsPages {
  readonly components: () => Components;
  /** Prometheus text and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Anything that JSON can hold. */
  readonly statusz: () => unknown;
}

export interface OpsServer {
  readonly address: ListenAddress;
  close(): Promise<void>;
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const PATHS = ["/livez", "/readyz", "/metrics", "/statusz"];

/** Rejects with Node's error if the address cannot be had. */
export async function listenForOps(address: ListenAddress, pages: OpsPages): Promise<OpsServer> {
  const server = createServer(
    // Connections that say nothing must not keep the probes out for long.
    { requestTimeout: 2000, headersTimeout: 2000, connectionsCheckingInterval: 500 },
    (request, response) => {
      const send = ({ status, contentType, body }: Page): void => {
        response.writeHead(status, { "content-type": contentType, "cache-control": "no-store" });
        response.end(request.method === "HEAD" ? undefined : body);
      };
      answer(request.method ?? "", request.url ?? "", pages).then(send, () => {
        send(text(500, "the page could not be made\n"));
      });
    },
  );
  server.maxConnections = 64;
  await removeDeadSocket(address);
  if (address.kind === "unix") server.listen({ path: address.path });
  else server.listen({ host: address.host, port: address.port });
  await once(server, "listening");
  return { address: boundAddress(server, address), close: () => close(server) };
}

async function answer(method: string, url: string, pages: OpsPages): Promise<Page> {
  if (method !== "GET" && method !== "HEAD") return text(405, "only GET\n");
  switch (url.split("?", 1)[0]) {
    case "/livez":
      return text(200, "alive\n");
    case "/readyz": {
      const components = pages.components();
      return json(isReady(components) ? 200 : 503, describeReadiness(components));
    }
    case "/metrics": {
      const { contentType, text: body } = await pages.metrics();
      return { status: 200, contentType, body };
    }
    case "/statusz":
      return json(200, pages.statusz());
    default:
      return text(404, `there are only ${PATHS.join(", ")}\n`);
  }
}

function text(status: number, body: string): Page {
  return { status, contentType: "text/plain; charset=utf-8", body };
}

function json(status: number, value: unknown): Page {
  const body = `${JSON.stringify(value, null, 2)}\n`;
  return { status, contentType: "application/json", body };
}

function boundAddress(server: Server, asked: ListenAddress): ListenAddress {
  const bound = server.address();
  if (asked.kind === "unix" || bound === null || typeof bound === "string") return asked;
  return { ...asked, port: bound.port };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}
