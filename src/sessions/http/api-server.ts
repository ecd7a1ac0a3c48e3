/**
 * The HTTP API of the session service. Everything has a bound: connections, headers, bodies, and
 * the time for a request to arrive and for the server to close.
 */
import { randomUUID } from "node:crypto";
import fastify, { type FastifyInstance } from "fastify";
import { serializerCompiler } from "fastify-type-provider-zod";
import { removeDeadSocket } from "../../runtime/dead-socket.js";
import type { ListenAddress } from "../../runtime/listen-address.js";
import { addAllRoutes } from "./all-routes.js";
import { describeApi, showApi } from "./api-document.js";
import type { ApiDependencies } from "./api-dependencies.js";
import { trustedProxies } from "./client-address.js";
import { answerClientError } from "./client-error.js";
import { RequestGate } from "./request-gate.js";
import { parseJsonBody } from "./json-body.js";
import { problemOf } from "./problem.js";
import { ProblemResponder } from "./problem-responder.js";
import { parseQuery } from "./query-text.js";
import { Routes } from "./route.js";

export interface ApiOptions {
  readonly listen: ListenAddress;
  /** Proxies whose `X-Forwarded-For` is trusted: addresses, CIDR ranges, or `unix`. */
  readonly trustedProxies: readonly string[];
  /** DEFAULT_API_BOUNDS where left out. */
  readonly bounds?: Partial<ApiBounds>;
}

export interface ApiBounds {
  readonly connectionsMax: number;
  readonly bodyMaxBytes: number;
  /** For the whole request to arrive. */
  readonly requestTimeoutMs: number;
  /** For running requests when the server closes. */
  readonly closeMaxMs: number;
}

/** For the request line and all headers. A path with three ids may take 9 KiB. */
const HEADERS_MAX_BYTES = 16 * 1024;
/** Between two requests on a connection. */
const KEEP_ALIVE_MS = 60_000;
/** On a connection without traffic, even while we are waiting for the nodes. */
const SILENCE_MAX_MS = 90_000;

const DEFAULT_API_BOUNDS: ApiBounds = {
  connectionsMax: 4096,
  bodyMaxBytes: 64 * 1024,
  requestTimeoutMs: 10_000,
  closeMaxMs: 15_000,
};

export interface Api {
  readonly address: ListenAddress;
  /** Finishes running requests, for `closeMaxMs` at most. */
  close(): Promise<void>;
}

/**
 * Rejects with Node's error if it cannot listen on the address.
 *
 * @throws RangeError for an invalid trusted proxy
 */
export async function startApi(options: ApiOptions, dependencies: ApiDependencies): Promise<Api> {
  const bounds = { ...DEFAULT_API_BOUNDS, ...options.bounds };
  const trusted = trustedProxies(options.trustedProxies);
  const problems = new ProblemResponder(dependencies.log);
  const app = newServer(bounds, problems);
  const gate = new RequestGate(dependencies.isReady);
  gate.guard(app, problems);
  app.addHook("onResponse", (request, reply, done) => {
    const { url } = request.routeOptions;
    const operation = url === undefined ? undefined : `${request.method} ${url}`;
    const { statusCode: status, elapsedTime: durationMs } = reply;
    dependencies.log.answered({ operation, status, durationMs });
    done();
  });
  await describeApi(app);
  addAllRoutes(
    new Routes(app, {
      callers: dependencies.sessions,
      acts: dependencies.sessions,
      refusals: dependencies.refusals,
      trusted,
      problems,
    }),
    dependencies,
  );
  await showApi(app);
  app.server.maxConnections = bounds.connectionsMax;
  await listen(app, options.listen);
  const close = async (): Promise<void> => {
    gate.close();
    const timer = setTimeout(() => app.server.closeAllConnections(), bounds.closeMaxMs);
    try {
      await app.close();
    } finally {
      clearTimeout(timer);
    }
  };
  return { address: boundAddress(app, options.listen), close };
}

async function listen(app: FastifyInstance, address: ListenAddress): Promise<void> {
  await removeDeadSocket(address);
  if (address.kind === "unix") await app.listen({ path: address.path });
  else await app.listen({ host: address.host, port: address.port });
}

function boundAddress(app: FastifyInstance, asked: ListenAddress): ListenAddress {
  const bound = app.server.address();
  if (asked.kind === "unix" || bound === null || typeof bound === "string") return asked;
  return { ...asked, port: bound.port };
}

function newServer(bounds: ApiBounds, problems: ProblemResponder): FastifyInstance {
  const app = fastify({
    logger: false,
    genReqId: () => randomUUID(),
    bodyLimit: bounds.bodyMaxBytes,
    requestTimeout: bounds.requestTimeoutMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionTimeout: SILENCE_MAX_MS,
    forceCloseConnections: "idle",
    // RequestGate answers instead, with a problem.
    return503OnClosing: false,
    http: {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: bounds.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, bounds.requestTimeoutMs),
    },
    routerOptions: {
      // An id of 256 characters: four bytes each, three characters for each byte.
      maxParamLength: 256 * 4 * 3,
      querystringParser: parseQuery,
    },
    clientErrorHandler: answerClientError,
    // Errors before routing, such as a path that cannot be decoded.
    frameworkErrors: (error, request, reply) => {
      problems.answerRaw(reply.hijack().raw, { requestId: request.id, problem: problemOf(error) });
    },
  });
  app.setErrorHandler((error, _request, reply) => problems.answer(reply, problemOf(error), error));
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) => {
    try {
      done(null, typeof body === "string" ? undefined : parseJsonBody(body));
    } catch (error) {
      done(error instanceof Error ? error : new Error("the body could not be read"));
    }
  });
  // The routes validate requests themselves (`route.ts`).
  app.setValidatorCompiler(() => (value: unknown) => ({ value }));
  app.setSerializerCompiler(serializerCompiler);
  return app;
}
