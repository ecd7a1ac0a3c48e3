import type { ServerResponse } from "node:http";
import { problemBody, type Problem } from "./problem.js";
import type { ProblemCode } from "./problem-codes.js";
import { commonHeaders, problemHeaders } from "./problem-headers.js";

export interface ApiLog {
  /** Once for each answer of 500 and above. */
  requestFailed(failure: RequestFailure): void;
  /** Once for each answer, when it is sent. */
  answered(answer: ApiAnswered): void;
}

export interface ApiAnswered {
  /** The method and the route's pattern, without ids; undefined for an unknown route. */
  readonly operation: string | undefined;
  readonly status: number;
  readonly durationMs: number;
}

export interface RequestFailure {
  /** As in the answer's `x-request-id`. */
  readonly requestId: string;
  readonly method: string;
  /** The route's pattern, without ids; undefined for an unknown route. */
  readonly route: string | undefined;
  readonly status: number;
  readonly code: ProblemCode;
  /** What was thrown; undefined where nothing was. */
  readonly error: unknown;
}

/** The part of Fastify's reply that is needed, whatever the route's answer type. */
export interface ProblemReply {
  readonly request: {
    readonly id: string;
    readonly method: string;
    readonly routeOptions: { readonly url: string | undefined };
  };
  code(status: number): unknown;
  headers(values: Readonly<Record<string, string>>): unknown;
  send(payload: string): unknown;
}

/** Sends every problem, and logs those that are the system's fault. */
export class ProblemResponder {
  readonly #log: ApiLog;

  constructor(log: ApiLog) {
    this.#log = log;
  }

  /** `error`: what was thrown, if anything; it is only logged. */
  answer<Reply extends ProblemReply>(reply: Reply, problem: Problem, error?: unknown): Reply {
    const body = problemBody(problem);
    const { status, code } = body;
    const { id, method, routeOptions } = reply.request;
    if (status >= 500) {
      const route = routeOptions.url;
      this.#log.requestFailed({ requestId: id, method, route, status, code, error });
    }
    reply.code(status);
    reply.headers({ ...commonHeaders(id), ...problemHeaders(problem) });
    reply.send(JSON.stringify(body));
    return reply;
  }

  /** The same for a request that never reached a route: only the client can be at fault. */
  answerRaw(
    response: ServerResponse,
    { requestId, problem }: { readonly requestId: string; readonly problem: Problem },
  ): void {
    const body = problemBody(problem);
    const headers = { ...commonHeaders(requestId), ...problemHeaders(problem) };
    response.writeHead(body.status, headers).end(JSON.stringify(body));
  }
}
