import { Agent, request as sendRequest, type IncomingMessage } from "node:http";

import { z } from "zod";

const ANSWER_TIMEOUT_MS = 15_000;

const tokensSchema = z.object({
  access_token: z.string(),
  expires_in: z.number(),
  refresh_token: z.string(),
  session_id: z.string(),
  password_change_required: z.boolean(),
});

const unconfirmedSchema = z.object({ node: z.string() });

const revocationSchema = z.object({
  published: z.boolean(),
  acknowledged: z.boolean(),
  event_ids: z.array(z.string()),
  code: z.string().optional(),
  confirmed: z.boolean().optional(),
  nodes: z.number().optional(),
  applied: z.number().optional(),
  per_node: z.array(z.object({ node: z.string(), ms: z.number() })).optional(),
  pending: z.array(unconfirmedSchema).optional(),
  silent: z.array(unconfirmedSchema).optional(),
});

const createdUserSchema = z.object({
  user_id: z.string(),
  one_time_password: z.string().optional(),
});

export interface SessionTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly sessionId: string;
  readonly passwordChangeRequired: boolean;
}

export type RevocationAnswer = z.infer<typeof revocationSchema> & {
  /** 200, or 202 where it is not published yet. */
  readonly status: number;
  /** When the answer began to arrive, by `performance.now()`. */
  readonly atMs: number;
};

export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  /** Parsed, where it is JSON. */
  readonly body: unknown;
  readonly atMs: number;
}

export interface ApiRequest {
  readonly token?: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/** The path of a user in the administrators' API. */
export interface UserName {
  readonly tenant: string;
  readonly user: string;
}

/** A client of one session service, over keep-alive connections. */
export class SessionsClient {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string) {
    this.#url = url;
  }

  /** Any answer, whatever its status. Rejects where there is none. */
  async ask(method: Method, path: string, options: ApiRequest = {}): Promise<ApiAnswer> {
    const { token, body } = options;
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = sendRequest(new URL(path, this.#url), {
        method,
        agent: this.#agent,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(text === undefined ? {} : { "content-type": "application/json" }),
          ...options.headers,
        },
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
      request.once("error", reject);
      request.once("response", (response) => {
        readAnswer(response, performance.now()).then(resolve, reject);
      });
      request.end(text);
    });
  }

  async login(
    who: { readonly tenant: string; readonly login: string; readonly password: string },
    deviceName = "a device",
  ): Promise<SessionTokens> {
    const { tenant, login, password } = who;
    const body = { tenant, login, password, device_name: deviceName };
    return tokensOf(await this.#expect(200, "POST", "/v1/login", { body }));
  }

  async refresh(refreshToken: string): Promise<SessionTokens> {
    const body = { refresh_token: refreshToken };
    return tokensOf(await this.#expect(200, "POST", "/v1/refresh", { body }));
  }

  /** Logs in with a one-time password and replaces it; the tokens are good for everything. */
  async enter(
    who: { readonly tenant: string; readonly login: string; readonly oneTimePassword: string },
    password: string,
  ): Promise<SessionTokens> {
    const { tenant, login, oneTimePassword } = who;
    const first = await this.login({ tenant, login, password: oneTimePassword });
    const body = { current_password: oneTimePassword, new_password: password };
    await this.#expect(200, "PUT", "/v1/me/password", { token: first.accessToken, body });
    return this.refresh(first.refreshToken);
  }

  async createTenant(token: string, tenant: string, name = tenant): Promise<void> {
    await this.#expect(201, "POST", "/v1/admin/tenants", { token, body: { tenant, name } });
  }

  async createUser(
    token: string,
    tenant: string,
    user: {
      readonly userId?: string;
      readonly login: string;
      readonly password?: string;
      readonly role?: string;
    },
  ): Promise<{ readonly userId: string; readonly oneTimePassword: string | undefined }> {
    const body = {
      ...(user.userId === undefined ? {} : { user_id: user.userId }),
      ...(user.password === undefined ? {} : { password: user.password }),
      login: user.login,
      role: user.role ?? "user",
    };
    const path = `/v1/admin/tenants/${encodeURIComponent(tenant)}/users`;
    const answer = await this.#expect(201, "POST", path, { token, body });
    const created = createdUserSchema.parse(answer.body);
    return { userId: created.user_id, oneTimePassword: created.one_time_password };
  }

  /** 200, or 202 where it is not published yet; anything else is an error. */
  async revokeSession(
    token: string,
    whose: UserName & { readonly session: string },
    waitMs = 0,
  ): Promise<RevocationAnswer> {
    const session = encodeURIComponent(whose.session);
    const path = `${userPath(whose)}/sessions/${session}?wait_ms=${waitMs}`;
    return revocationOf(await this.#expect([200, 202], "DELETE", path, { token }));
  }

  /** `act`: `revoke-all`, `disable`. 200, or 202 where it is not published yet. */
  async revokeUser(
    token: string,
    whose: UserName,
    options: { readonly act?: "revoke-all" | "disable"; readonly waitMs?: number } = {},
  ): Promise<RevocationAnswer> {
    const { act = "revoke-all", waitMs = 0 } = options;
    const path = `${userPath(whose)}/${act}?wait_ms=${waitMs}`;
    return revocationOf(await this.#expect([200, 202], "POST", path, { token, body: {} }));
  }

  close(): void {
    this.#agent.destroy();
  }

  async #expect(
    status: number | readonly number[],
    method: Method,
    path: string,
    request: ApiRequest,
  ): Promise<ApiAnswer> {
    const answer = await this.ask(method, path, request);
    const expected = typeof status === "number" ? [status] : status;
    if (expected.includes(answer.status)) return answer;
    const body = JSON.stringify(answer.body);
    throw new Error(`${method} ${path} was answered ${answer.status}: ${body}`);
  }
}

export function userPath({ tenant, user }: UserName): string {
  return `/v1/admin/tenants/${encodeURIComponent(tenant)}/users/${encodeURIComponent(user)}`;
}

function tokensOf({ body }: ApiAnswer): SessionTokens {
  const tokens = tokensSchema.parse(body);
  return {
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
    sessionId: tokens.session_id,
    passwordChangeRequired: tokens.password_change_required,
  };
}

function revocationOf({ status, body, atMs }: ApiAnswer): RevocationAnswer {
  return { ...revocationSchema.parse(body), status, atMs };
}

async function readAnswer(response: IncomingMessage, atMs: number): Promise<ApiAnswer> {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => (text += part));
  await new Promise((resolve, reject) => response.once("end", resolve).once("error", reject));
  const isJson = response.headers["content-type"]?.includes("json") === true;
  const body: unknown = isJson ? JSON.parse(text) : undefined;
  return { status: response.statusCode ?? 0, headers: response.headers, body, atMs };
}
