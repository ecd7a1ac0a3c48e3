import type { FastifyInstance, FastifyRequest } from "fastify";
import { KnownPaths } from "./known-paths.js";
import { RETRY_AFTER_S, type Problem } from "./problem.js";
import type { ProblemResponder } from "./problem-responder.js";
import { commonHeaders } from "./problem-headers.js";

/** The routes of the API; the others only describe it. */
const API_PATHS = /^\/(v1|\.well-known)\//;

/** Checks every request before its body is read: is the service ready, and does the route exist? */
export class RequestGate {
  readonly #isReady: () => boolean;
  readonly #known = new KnownPaths();
  #stopping = false;

  constructor(isReady: () => boolean) {
    this.#isReady = isReady;
  }

  /** Call before adding the routes. */
  guard(app: FastifyInstance, problems: ProblemResponder): void {
    app.addHook("onRoute", ({ method, url }) => {
      for (const one of [method].flat()) this.#known.add(one, url);
    });
    app.addHook("onRequest", async (request, reply) => {
      reply.headers(commonHeaders(request.id));
      const problem = this.#refusal(request);
      return problem === undefined ? undefined : problems.answer(reply, problem);
    });
    app.addHook("onSend", async (_request, reply) => {
      // Otherwise a connection that was busy when the server began to close would stay open.
      if (this.#stopping) reply.header("connection", "close");
    });
    // Such requests are already refused above; this replaces Fastify's own answer.
    app.setNotFoundHandler((_request, reply) => problems.answer(reply, { code: "route_unknown" }));
  }

  /** From now on every request is answered with `stopping`. */
  close(): void {
    this.#stopping = true;
  }

  #refusal(request: FastifyRequest): Problem | undefined {
    if (this.#stopping) return { code: "stopping", retryAfterS: RETRY_AFTER_S };
    if (request.is404) {
      const [path = ""] = request.url.split("?", 1);
      const allow = this.#known.methodsOf(path);
      return allow.length === 0 ? { code: "route_unknown" } : { code: "method_not_allowed", allow };
    }
    const isApi = API_PATHS.test(request.routeOptions.url ?? "");
    if (isApi && !this.#isReady()) return { code: "starting", retryAfterS: RETRY_AFTER_S };
    return undefined;
  }
}
