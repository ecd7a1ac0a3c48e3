/** The API on a port of its own, over the verbs on one database; what it tells is kept. */
import { Agent, request as httpRequest } from "node:http";

import { startApi, type Api, type ApiBounds } from "../../src/sessions/http/api-server.js";
import type { Database } from "../../src/sessions/database/database.js";
import type { NodesReader } from "../../src/sessions/http/nodes-route.js";
import type { ApiAnswered, RequestFailure } from "../../src/sessions/http/problem-responder.js";
import type { LoginLimits } from "../../src/sessions/limits/login-limits.js";
import type { ListenAddress } from "../../src/runtime/listen-address.js";
import type { Outbox } from "../../src/sessions/outbox/outbox.js";
import type { PasswordHasher } from "../../src/sessions/passwords/password-hasher.js";
import type { Role } from "../../src/sessions/login/scopes.js";
import type { InProcessSessions } from "./in-process-sessions.js";
import { type TestUser } from "./in-process-sessions.js";

/** A public key, as far as the API looks at it. */
export const STAGED_KEY = { kty: "EC", crv: "P-256", kid: "one", x: "AA", y: "AA" };

export interface ApiCall {
  readonly token?: string;
  /** An object is sent as JSON, a text or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** What the text says as JSON; undefined for what is none. */
  readonly json: unknown;
}

export interface TestCaller extends TestUser {
  readonly token: string;
  readonly refreshToken: string;
  readonly session: string;
}

export interface InProcessApiOptions {
  readonly trustedProxies?: readonly string[];
  readonly bounds?: Partial<ApiBounds>;
  readonly listen?: ListenAddress;
  /** Instead of the service's own parts, where a fault is to be forced. */
  readonly parts?: Partial<StagedDependencies>;
}

type StagedDependencies = Omit<
  InProcessSessions["parts"],
  "outbox" | "db" | "hasher" | "limits"
> & {
  readonly limits: Omit<LoginLimits, "close">;
  readonly outbox: Outbox;
  readonly db: Database;
  readonly hasher: PasswordHasher;
};

export class InProcessApi {
  readonly service: InProcessSessions;
  readonly failures: RequestFailure[] = [];
  readonly answered: ApiAnswered[] = [];
  ready = true;
  nodes: Awaited<ReturnType<NodesReader["readNodes"]>> = {
    log: { generation: "one", seq: 7, authority: "database" },
    nodes: [],
  };
  readNodes: NodesReader["readNodes"] = () => Promise.resolve(this.nodes);
  keys: readonly Readonly<Record<string, unknown>>[] = [STAGED_KEY];
  readonly #agent = new Agent({ keepAlive: true });
  #api: Api | undefined;

  private constructor(service: InProcessSessions) {
    this.service = service;
  }

  static async start(
    service: InProcessSessions,
    options: InProcessApiOptions = {},
  ): Promise<InProcessApi> {
    const api = new InProcessApi(service);
    const { trustedProxies = [], bounds = {} } = options;
    const { listen = { kind: "tcp", host: "127.0.0.1", port: 0 } } = options;
    const parts = { ...service.parts, ...options.parts };
    api.#api = await startApi(
      { listen, trustedProxies, bounds },
      {
        sessions: parts,
        admin: parts,
        outbox: parts.outbox,
        refusals: parts.refusals,
        keys: { jwks: () => ({ keys: api.keys }) },
        nodes: { readNodes: () => api.readNodes() },
        isReady: () => api.ready,
        log: {
          requestFailed: (failure) => api.failures.push(failure),
          answered: (one) => api.answered.push(one),
        },
      },
    );
    return api;
  }

  get port(): number {
    const address = this.#api?.address;
    if (address?.kind !== "tcp") throw new Error("the API does not listen on a port");
    return address.port;
  }

  /** The client's connections end with the server's. */
  async close(): Promise<void> {
    await this.#api?.close();
  }

  /** Somebody who has logged in, in a tenant of their own unless one is given. */
  async caller(of: { tenant?: string; role?: Role; oneTime?: boolean } = {}): Promise<TestCaller> {
    const tenant = of.role === "operator" ? "sekisho" : of.tenant;
    const user = await this.service.addUser({ ...of, ...(tenant === undefined ? {} : { tenant }) });
    const { accessToken: token, refreshToken, sessionId: session } = await this.service.open(user);
    return { ...user, token, refreshToken, session };
  }

  /** `path`: as it goes over the wire. */
  call(method: string, path: string, call: ApiCall = {}): Promise<ApiAnswer> {
    const { token, body } = call;
    const asIs = typeof body === "string" || body instanceof Uint8Array;
    const payload = asIs || body === undefined ? body : JSON.stringify(body);
    const headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      // Node's client announces no length of its own for the body of a DELETE.
      ...(payload === undefined ? {} : { "content-length": String(Buffer.byteLength(payload)) }),
      ...call.headers,
    };
    return send({ method, path, headers, port: this.port, agent: this.#agent }, payload);
  }
}

function send(
  options: {
    readonly method: string;
    readonly path: string;
    readonly headers: Record<string, string>;
    readonly port: number;
    readonly agent: Agent;
  },
  payload: string | Uint8Array | undefined,
): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", timeout: 30_000, ...options });
    request.once("error", reject);
    request.once("timeout", () => request.destroy(new Error("no answer within 30 s")));
    request.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, text, json: parsed(text) });
      });
    });
    request.end(payload);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Of an id, for a path. */
export function inPath(id: string): string {
  return encodeURIComponent(id);
}
