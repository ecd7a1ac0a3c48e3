/**
 * One route of the API: what it requires of its caller, what it accepts and what it answers. The
 * handler gets validated input and returns a value; how that becomes HTTP is decided here, once for
 * all routes.
 *
 * Checks run in this order, and the first refusal is the answer: the access token, the caller's
 * scope; then, once the body has arrived, whether the caller's session is still active, all fields
 * of path, query and body together, and the limit of the caller's acts. The handler comes last.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from "fastify";
import type {} from "@fastify/swagger";
import { z } from "zod";
import type { AuditKind } from "../audit/audit-trail.js";
import type { Refusals } from "../audit/refusal-trail.js";
import { actLimitedForS, type ActLimitDependencies } from "../login/act-limit.js";
import { callerOf, isCallerActive, type Caller, type CallerDependencies } from "../login/caller.js";
import { answerResponses, problemResponses } from "./answer-schemas.js";
import { bearerOf, refusalOf, type RequiredScope } from "./authority.js";
import { clientAddress, type TrustedProxies } from "./client-address.js";
import { noBody } from "./request-fields.js";
import { fieldProblems, IN_OUR_WORDS, invalidField, type Problem } from "./problem.js";
import type { ProblemCode } from "./problem-codes.js";
import type { ProblemResponder } from "./problem-responder.js";
import { isForTheTrail, refusedAct } from "./refused-act.js";

type Answers = Readonly<Record<number, z.ZodType>>;
type GuardedPlan = { readonly need: RequiredScope } & Pick<
  RoutePlan<z.ZodType, z.ZodType, z.ZodType, Answers>,
  "kind"
>;

export interface RoutePlan<
  Path extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
  A extends Answers,
> {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** As Fastify writes it: `/v1/admin/tenants/:tenant`. */
  readonly url: string;
  /** undefined: no access token is needed. */
  readonly need?: RequiredScope;
  /** The audit kind. undefined: the route only reads, which is not recorded. */
  readonly kind?: AuditKind;
  /** Every call counts towards the limit of the caller's acts. */
  readonly limited?: true;
  readonly summary: string;
  readonly tag: string;
  readonly path: Path;
  readonly query: Query;
  /** `noBody` where none is expected. */
  readonly body: Body;
  readonly answers: A;
  /** In addition to those of every route. */
  readonly problems: readonly ProblemCode[];
}

/** A validated request. */
export interface ReadRequest<Path, Query, Body> {
  readonly path: Path;
  readonly query: Query;
  readonly body: Body;
  /** The client's. */
  readonly address: string;
}

export interface CallerRequest<Path, Query, Body> extends ReadRequest<Path, Query, Body> {
  readonly caller: Caller;
}

interface Answered {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Refused {
  readonly problem: Problem;
}

export type Answer<A extends Answers> =
  | {
      [Status in keyof A & number]: {
        readonly status: Status;
        readonly body: z.input<A[Status]>;
        readonly headers?: Readonly<Record<string, string>>;
      };
    }[keyof A & number]
  | Refused;

export function refused(code: ProblemCode, more: Omit<Problem, "code"> = {}): Refused {
  return { problem: { code, ...more } };
}

/** The cursor was not issued for this list. */
export function invalidCursor(): Refused {
  return { problem: invalidField("cursor", "was not issued for this list") };
}

export function answered<Status extends number, Body>(
  status: Status,
  body: Body,
): { readonly status: Status; readonly body: Body } {
  return { status, body };
}

export interface RouteDependencies {
  readonly callers: CallerDependencies;
  readonly acts: ActLimitDependencies;
  readonly refusals: Refusals;
  readonly trusted: TrustedProxies;
  readonly problems: ProblemResponder;
}

export class Routes {
  readonly #app: FastifyInstance;
  readonly #services: RouteDependencies;

  constructor(app: FastifyInstance, services: RouteDependencies) {
    this.#app = app;
    this.#services = services;
  }

  /** A route without authentication. */
  open<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, A extends Answers>(
    plan: RoutePlan<P, Q, B, A>,
    handle: (asked: ReadRequest<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer<A>>,
  ): void {
    this.#app.route({
      method: plan.method,
      url: plan.url,
      schema: describe(plan),
      handler: async (request, reply) => {
        const asked = this.#read(plan, request);
        if ("problem" in asked) return this.#send(reply, asked);
        return this.#send(reply, await handle(asked));
      },
    });
  }

  /** A route for authenticated callers. */
  guarded<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, A extends Answers>(
    plan: RoutePlan<P, Q, B, A> & { readonly need: RequiredScope },
    handle: (asked: CallerRequest<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Answer<A>>,
  ): void {
    const callers = new WeakMap<FastifyRequest, Caller>();
    this.#app.route({
      method: plan.method,
      url: plan.url,
      schema: describe(plan),
      // Before the body is read: an unauthenticated client's body must cost no memory.
      onRequest: async (request, reply) => {
        const caller = await this.#admitted(request, plan);
        if ("problem" in caller) return this.#services.problems.answer(reply, caller.problem);
        callers.set(request, caller);
        return undefined;
      },
      handler: async (request, reply) => {
        const caller = callers.get(request);
        if (caller === undefined) throw new Error("guarded handler called without a caller");
        // The client decides how long its body takes, so the session may have ended meanwhile.
        if (request.body !== undefined && !(await isCallerActive(this.#services.callers, caller))) {
          const answer = refused("invalid_token");
          return this.#sendTo(request, reply, { plan, caller, answer });
        }
        const asked = this.#read(plan, request);
        if ("problem" in asked) return this.#services.problems.answer(reply, asked.problem);
        if (plan.limited === true) {
          const retryAfterS = await actLimitedForS(this.#services.acts, caller, asked.address);
          if (retryAfterS !== undefined) {
            return this.#send(reply, refused("rate_limited", { retryAfterS }));
          }
        }
        const answer = await handle({ ...asked, caller });
        return this.#sendTo(request, reply, { plan, caller, answer });
      },
    });
  }

  async #admitted(request: FastifyRequest, plan: GuardedPlan): Promise<Caller | Refused> {
    const bearer = bearerOf(request.raw.headersDistinct["authorization"] ?? []);
    if ("refused" in bearer) return { problem: bearer.refused };
    const caller = await callerOf(this.#services.callers, bearer.token);
    if (caller === undefined) return refused("invalid_token");
    const problem = refusalOf(caller, plan.need, tenantIn(request.params));
    if (problem === undefined) return caller;
    this.#recordRefusal(request, { plan, caller, code: problem.code });
    return { problem };
  }

  #sendTo(
    request: FastifyRequest,
    reply: FastifyReply,
    sent: {
      readonly plan: GuardedPlan;
      readonly caller: Caller;
      readonly answer: Answered | Refused;
    },
  ): FastifyReply {
    const { plan, caller, answer } = sent;
    if ("problem" in answer && isForTheTrail(answer.problem.code)) {
      this.#recordRefusal(request, { plan, caller, code: answer.problem.code });
    }
    return this.#send(reply, answer);
  }

  #recordRefusal(
    request: FastifyRequest,
    refusal: { readonly plan: GuardedPlan; readonly caller: Caller; readonly code: ProblemCode },
  ): void {
    const { plan, caller, code } = refusal;
    const { kind, need } = plan;
    if (kind === undefined) return;
    const { params, body } = request;
    const address = this.#addressOf(request);
    this.#services.refusals.record(refusedAct({ kind, need, caller, code, address, params, body }));
  }

  /** The validated request, or everything that is wrong with it. */
  #read<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
    plan: { readonly path: P; readonly query: Q; readonly body: B },
    request: FastifyRequest,
  ): ReadRequest<z.output<P>, z.output<Q>, z.output<B>> | Refused {
    const path = plan.path.safeParse(request.params, IN_OUR_WORDS);
    const query = plan.query.safeParse(request.query, IN_OUR_WORDS);
    // A missing body counts as an empty one, so that its missing fields are named.
    const body = plan.body.safeParse(request.body ?? {}, IN_OUR_WORDS);
    if (path.success && query.success && body.success) {
      const address = this.#addressOf(request);
      return { path: path.data, query: query.data, body: body.data, address };
    }
    const errors = [path, query, body].flatMap(({ error }) => fieldProblems(error));
    return refused("request_invalid", { errors });
  }

  #addressOf({ socket, headers }: FastifyRequest): string {
    const header = headers["x-forwarded-for"];
    const forwardedFor = Array.isArray(header) ? header.join(",") : header;
    return clientAddress({ address: socket.remoteAddress, forwardedFor }, this.#services.trusted);
  }

  #send(reply: FastifyReply, answer: Answered | Refused): FastifyReply {
    if ("problem" in answer) return this.#services.problems.answer(reply, answer.problem);
    const { status, body, headers } = answer;
    return reply
      .code(status)
      .headers({ ...headers })
      .send(body);
  }
}

const tenantInPath = z.object({ tenant: z.string() });

/** The tenant named by the path, valid or not. */
function tenantIn(params: unknown): string | undefined {
  return tenantInPath.safeParse(params).data?.tenant;
}

/** Every route may answer these. */
const ALWAYS: readonly ProblemCode[] = [
  "request_invalid",
  "internal_error",
  "database_unavailable",
  "overloaded",
  "starting",
  "stopping",
];
const WITH_BODY: readonly ProblemCode[] = ["body_too_large", "media_type_unsupported"];
const WITH_TOKEN: readonly ProblemCode[] = ["token_missing", "invalid_token", "keys_unavailable"];

/** For the OpenAPI document, and for checking answers. */
function describe(plan: RoutePlan<z.ZodType, z.ZodType, z.ZodType, Answers>): FastifySchema {
  const takesBody = plan.method === "POST" || plan.method === "PUT";
  const { need } = plan;
  const problems = [
    ...ALWAYS,
    ...(takesBody ? WITH_BODY : []),
    ...(need === undefined ? [] : WITH_TOKEN),
    ...(need === undefined || need === "session" ? [] : (["scope_insufficient"] as const)),
    ...(plan.limited === true ? (["rate_limited"] as const) : []),
    ...plan.problems,
  ];
  return {
    summary: plan.summary,
    tags: [plan.tag],
    ...(need === undefined ? {} : { description: NEEDS[need], security: [{ bearer: [] }] }),
    params: plan.path,
    querystring: plan.query,
    ...(takesBody && plan.body !== noBody ? { body: plan.body } : {}),
    response: { ...answerResponses(plan.answers), ...problemResponses(...problems) },
  };
}

const NEEDS: Readonly<Record<RequiredScope, string>> = {
  session: "For every logged-in user, even with a one-time password.",
  user: "For every logged-in user who has replaced their one-time password.",
  tenant_admin: "For the tenant's administrators and for operators.",
  operator: "For operators.",
};
