/** What the API answers to people who use it rightly, and to those who are refused. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";

import { waitUntil } from "../../dev/wait-for.js";
import { createUser } from "../../src/sessions/admin/users.js";
import { disableUser } from "../../src/sessions/admin/user-acts.js";
import { DatabaseError, type Database } from "../../src/sessions/database/database.js";
import type { Outbox, RevocationReceipt } from "../../src/sessions/outbox/outbox.js";
import {
  PasswordHasherError,
  type PasswordHasher,
} from "../../src/sessions/passwords/password-hasher.js";
import { InProcessApi, inPath, STAGED_KEY, type TestCaller } from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { PASSWORD, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

/** Answers as it is told to, and remembers how long it was to wait. */
class TalkingOutbox implements Outbox {
  receipt: RevocationReceipt = { published: true };
  readonly waits: number[] = [];

  publish(_committed: unknown, waitMs: number): Promise<RevocationReceipt> {
    this.waits.push(waitMs);
    return Promise.resolve(this.receipt);
  }

  receiptAgain(committed: unknown, { waitMs }: { readonly waitMs: number }) {
    return this.publish(committed, waitMs);
  }
}

let started: StartedDatabase;
let service: InProcessSessions;
let api: InProcessApi;
let outbox: TalkingOutbox;

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  outbox = new TalkingOutbox();
  api = await InProcessApi.start(service, { parts: { outbox } });
});

beforeEach(() => {
  outbox.receipt = { published: true };
  outbox.waits.length = 0;
  api.failures.length = 0;
});

afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

function loginBody({ tenant, login }: TestUser, password = PASSWORD) {
  return { tenant, login, password, device_name: "a telephone" };
}

describe("a login", () => {
  test("answers tokens that nobody may keep", async () => {
    const user = await service.addUser();
    const answer = await api.call("POST", "/v1/login", { body: loginBody(user) });
    expect(answer).toMatchObject({
      status: 200,
      headers: {
        "cache-control": "no-store",
        "content-type": expect.stringMatching("^application/json"),
      },
    });
    expect(answer.json).toEqual({
      access_token: expect.any(String),
      token_type: "Bearer",
      expires_in: 600,
      refresh_token: expect.any(String),
      session_id: expect.any(String),
      password_change_required: false,
    });
  });

  test("is refused alike for a wrong password and an unknown login", async () => {
    const user = await service.addUser();
    for (const body of [loginBody(user, "wrong"), loginBody({ ...user, login: "nobody" })]) {
      expect(await api.call("POST", "/v1/login", { body })).toMatchObject({
        status: 401,
        headers: { "www-authenticate": 'Bearer realm="sekisho"' },
        json: { code: "bad_credentials" },
      });
    }
  });

  test("of a locked account says when to come again", async () => {
    const user = await service.addUser();
    for (let failures = 0; failures < 10; failures += 1) {
      await api.call("POST", "/v1/login", { body: loginBody(user, "wrong") });
    }
    expect(await api.call("POST", "/v1/login", { body: loginBody(user) })).toMatchObject({
      status: 401,
      headers: { "retry-after": "900" },
      json: { code: "account_locked" },
    });
  });

  test("of a disabled account says so", async () => {
    const user = await service.addUser();
    await disableUser(service.parts, service.administrator, user);
    const answer = await api.call("POST", "/v1/login", { body: loginBody(user) });
    expect(answer).toMatchObject({ status: 401, json: { code: "account_disabled" } });
  });

  test("that is one too many says when to come again", async () => {
    const user = await service.addUser();
    service.limits.answer = { admitted: false, limit: "spread", retryAfterS: 17 };
    try {
      const login = await api.call("POST", "/v1/login", { body: loginBody(user) });
      const refresh = await api.call("POST", "/v1/refresh", { body: { refresh_token: "x" } });
      for (const answer of [login, refresh]) {
        const headers = { "retry-after": "17" };
        expect(answer).toMatchObject({ status: 429, headers, json: { code: "rate_limited" } });
      }
    } finally {
      service.limits.answer = { admitted: true };
    }
  });
});

test("a refresh rotates, and a token that is used again ends the session", async () => {
  const user = await api.caller();
  const refresh = (refresh_token: string) =>
    api.call("POST", "/v1/refresh", { body: { refresh_token } });
  const once = await refresh(user.refreshToken);
  expect(once).toMatchObject({ status: 200, json: { session_id: user.session } });
  service.clock.advance(120_001);
  const twice = await refresh(user.refreshToken);
  expect(twice).toMatchObject({ status: 401, json: { code: "refresh_token_reused" } });
  const none = await refresh("none");
  expect(none).toMatchObject({ status: 401, json: { code: "refresh_token_invalid" } });
  const ended = await api.call("GET", "/v1/me/sessions", { token: user.token });
  expect(ended).toMatchObject({ status: 401, json: { code: "invalid_token" } });
});

describe("people with their own sessions", () => {
  test("see them, and which one they are in", async () => {
    const user = await api.caller();
    await service.open(user);
    const { json, status } = await api.call("GET", "/v1/me/sessions", { token: user.token });
    const now = new Date(service.clock.wallMs()).toISOString();
    const seen = {
      session_id: expect.any(String),
      device_name: "a telephone",
      address: "192.0.2.7",
      created_at: now,
      last_used_at: now,
      last_used_address: "192.0.2.7",
    };
    expect(status).toBe(200);
    expect(json).toEqual({
      sessions: expect.arrayContaining([
        { ...seen, session_id: user.session, current: true },
        { ...seen, current: false },
      ]),
    });
  });

  test("end one of them, but not another's", async () => {
    const [user, stranger] = [await api.caller(), await api.caller()];
    const other = await service.open(user);
    const end = (id: string) =>
      api.call("DELETE", `/v1/me/sessions/${inPath(id)}?wait_ms=0`, { token: user.token });
    expect(await end(other.sessionId)).toMatchObject({ status: 200, json: { published: true } });
    expect(outbox.waits).toEqual([0]);
    expect(await end(stranger.session)).toMatchObject({ status: 404, json: { code: "not_found" } });
    await expect(service.callerOf(other)).rejects.toThrow("refused");
  });

  test("end all others, and then have none to end", async () => {
    const user = await api.caller();
    for (let count = 0; count < 3; count += 1) await service.open(user);
    const end = () => api.call("POST", "/v1/me/sessions/revoke-others", { token: user.token });
    const [first, second] = [await end(), await end()];
    expect(first).toMatchObject({ status: 200, json: { event_ids: { length: 3 } } });
    expect(second).toMatchObject({ status: 200, json: { published: true, event_ids: [] } });
    expect(outbox.waits).toEqual([1000]);
  });

  test("log out, and the token is worth nothing", async () => {
    const user = await api.caller();
    const { token } = user;
    expect(await api.call("POST", "/v1/logout", { token })).toMatchObject({ status: 200 });
    expect(await api.call("POST", "/v1/logout", { token })).toMatchObject({
      status: 401,
      json: { code: "invalid_token" },
    });
  });

  test("replace a one-time password before anything else", async () => {
    const tenant = await service.addTenant();
    const order = { login: "new", role: "user" } as const;
    const created = await createUser(service.parts, service.administrator, tenant, order);
    const password = created.kind === "created" ? (created.oneTimePassword ?? "") : "";
    const body = { tenant, login: "new", password, device_name: "a telephone" };
    const opened = await api.call("POST", "/v1/login", { body });
    const tokens = tokensOf(opened.json);
    expect(opened.json).toMatchObject({ password_change_required: true });
    const list = (token: string) => api.call("GET", "/v1/me/sessions", { token });
    expect(await list(tokens.access_token)).toMatchObject({
      status: 403,
      headers: { "www-authenticate": expect.stringContaining('error="insufficient_scope"') },
    });
    const change = (current_password: string, new_password: string) =>
      api.call("PUT", "/v1/me/password", {
        token: tokens.access_token,
        body: { current_password, new_password },
      });
    expect(await change("wrong", PASSWORD)).toMatchObject({
      status: 401,
      json: { code: "bad_credentials" },
    });
    expect(await change(password, "short")).toMatchObject({
      status: 400,
      json: {
        code: "password_unacceptable",
        errors: [{ field: "new_password", problem: "password_too_short" }],
      },
    });
    expect(await change(password, PASSWORD)).toMatchObject({ status: 200 });
    const { refresh_token } = tokens;
    const refreshed = await api.call("POST", "/v1/refresh", { body: { refresh_token } });
    expect(refreshed.json).toMatchObject({ password_change_required: false });
    expect(await list(tokensOf(refreshed.json).access_token)).toMatchObject({ status: 200 });
  });
});

function tokensOf(json: unknown): { access_token: string; refresh_token: string } {
  if (
    typeof json === "object" &&
    json !== null &&
    "access_token" in json &&
    "refresh_token" in json
  ) {
    return { access_token: String(json.access_token), refresh_token: String(json.refresh_token) };
  }
  throw new Error(`no tokens: ${JSON.stringify(json)}`);
}

describe("an administrator", () => {
  let admin: TestCaller;
  let user: TestCaller;
  const below = (rest: string): string =>
    `/v1/admin/tenants/${inPath(admin.tenant)}/users/${inPath(user.user)}/${rest}`;
  beforeEach(async () => {
    admin = await api.caller({ role: "tenant_admin" });
    user = await api.caller({ tenant: admin.tenant });
  });

  test.each(["revoke-all", "disable", "password"])(
    "is answered 202 for %s where Redis is away, and it is done all the same",
    async (act) => {
      outbox.receipt = { published: false, code: "redis_unavailable" };
      const { token } = admin;
      const body = { reason: "a lost telephone" };
      const answer = await api.call("POST", below(`${act}?wait_ms=5`), { token, body });
      expect(answer).toMatchObject({
        status: 202,
        json: { published: false, acknowledged: false, code: "redis_unavailable" },
      });
      expect(outbox.waits).toEqual([5]);
      const used = await api.call("GET", "/v1/me/sessions", { token: user.token });
      expect(used.status).toBe(401);
      const last = (await service.auditOf(admin.tenant)).at(-1);
      expect(last).toMatchObject({ reason: "a lost telephone", address: "127.0.0.1" });
    },
  );

  test("ends one session, with a reason in the query, and reads of it", async () => {
    const { token } = admin;
    const path = below(`sessions/${inPath(user.session)}?reason=it+was+%22lost%22`);
    expect(await api.call("DELETE", path, { token })).toMatchObject({ status: 200 });
    const trail = `/v1/admin/tenants/${inPath(admin.tenant)}/audit?kind=session_revoked&limit=1`;
    expect((await api.call("GET", trail, { token })).json).toMatchObject({
      entries: [
        {
          kind: "session_revoked",
          outcome: "done",
          reason: 'it was "lost"',
          actor: `user:${inPath(admin.tenant)}/${inPath(admin.user)}`,
          user_id: user.user,
          session_id: user.session,
        },
      ],
    });
    expect((await api.call("GET", below("sessions"), { token })).json).toMatchObject({
      sessions: [{ session_id: user.session, ended_by: "session_revoked" }],
    });
  });

  test("is told which password would not do", async () => {
    const { token } = admin;
    const body = { password: "short" };
    expect(await api.call("POST", below("password"), { token, body })).toMatchObject({
      status: 400,
      json: { code: "password_unacceptable", errors: [{ field: "password" }] },
    });
  });

  test.each([
    [{ login: "x", user_id: "taken" }, 409, "user_id_exists"],
    [{ login: "taken too" }, 409, "login_exists"],
    [{ login: "x", role: "operator" }, 400, "request_invalid"],
    [{ login: "x", user_id: "." }, 400, "request_invalid"],
    [{ login: "x", user_id: ".." }, 400, "request_invalid"],
  ])("is told why %j cannot be created", async (body, status, code) => {
    const { token } = admin;
    const users = `/v1/admin/tenants/${inPath(admin.tenant)}/users`;
    const taken = { user_id: "taken", login: "taken too" };
    expect((await api.call("POST", users, { token, body: taken })).json).toEqual({
      user_id: "taken",
      login: "taken too",
      role: "user",
      created_at: new Date(service.clock.wallMs()).toISOString(),
      one_time_password: expect.any(String),
    });
    const answer = await api.call("POST", users, { token, body });
    expect(answer).toMatchObject({ status, json: { code } });
  });

  test("of all tenants cannot create one twice, nor disable the last of their own", async () => {
    const { token, ...operator } = await api.caller({ role: "operator" });
    const body = { tenant: `made ${Math.random()}`, name: "Made" };
    const create = () => api.call("POST", "/v1/admin/tenants", { token, body });
    const created_at = new Date(service.clock.wallMs()).toISOString();
    const first = await create();
    expect({ status: first.status, json: first.json }).toEqual({
      status: 201,
      json: { ...body, created_at },
    });
    expect(await create()).toMatchObject({ status: 409, json: { code: "tenant_exists" } });
    const self = `/v1/admin/tenants/sekisho/users/${inPath(operator.user)}/disable`;
    const answer = await api.call("POST", self, { token });
    expect(answer).toMatchObject({ status: 409, json: { code: "last_operator" } });
  });
});

describe("the system's fault", () => {
  const secret = "hunter2 at 10.0.0.1";

  /** A database that fails in this way. */
  function broken(error: Error): Database {
    const fail = () => Promise.reject(error);
    const pool = { max: 1, inUse: 0, idle: 0, waiting: 0 };
    return { transaction: fail, migrate: fail, ping: fail, tryLock: fail, close: fail, pool };
  }

  const full: PasswordHasher = {
    verify: () => Promise.reject(new PasswordHasherError("queue_full", secret)),
    hash: () => Promise.reject(new PasswordHasherError("queue_full", secret)),
    needsRehash: () => false,
    pending: 0,
    queued: 0,
    close: () => Promise.resolve(),
  };

  test.each([
    ["database_unavailable", 503, { db: broken(new DatabaseError("unavailable", secret)) }],
    ["internal_error", 500, { db: broken(new DatabaseError("unexpected", secret)) }],
    ["internal_error", 500, { db: broken(new TypeError(secret)) }],
    ["overloaded", 503, { hasher: full }],
  ] as const)("%s is answered %d, told once and never explained", async (code, status, parts) => {
    const user = await service.addUser();
    const failing = await InProcessApi.start(service, { parts });
    try {
      const answer = await failing.call("POST", "/v1/login", { body: loginBody(user) });
      expect(answer).toMatchObject({ status, json: { code } });
      expect(answer.headers["retry-after"]).toBe(status === 503 ? "1" : undefined);
      expect(answer.text).not.toContain("hunter2");
      const requestId = answer.headers["x-request-id"];
      const told = { requestId, method: "POST", route: "/v1/login", status, code };
      expect(failing.failures).toMatchObject([{ ...told, error: { message: secret } }]);
    } finally {
      await failing.close();
    }
  });

  test("is that there is no key yet", async () => {
    const user = await service.addUser();
    service.mint.hasKey = false;
    api.keys = [];
    try {
      const answers = [
        await api.call("POST", "/v1/login", { body: loginBody(user) }),
        await api.call("GET", "/.well-known/jwks.json"),
      ];
      for (const answer of answers) {
        const headers = { "retry-after": "1", "cache-control": "no-store" };
        expect(answer).toMatchObject({ status: 503, headers, json: { code: "keys_unavailable" } });
      }
      expect(api.failures).toHaveLength(2);
    } finally {
      service.mint.hasKey = true;
      api.keys = [STAGED_KEY];
    }
  });

  test("is that it has only just started, and what describes the API is there already", async () => {
    api.ready = false;
    try {
      for (const path of ["/v1/login", "/.well-known/jwks.json"]) {
        const method = path === "/v1/login" ? "POST" : "GET";
        const headers = { "retry-after": "1" };
        const answer = await api.call(method, path);
        expect(answer).toMatchObject({ status: 503, headers, json: { code: "starting" } });
      }
      expect((await api.call("GET", "/openapi.json")).status).toBe(200);
    } finally {
      api.ready = true;
    }
  });
});

test("the key set may be kept for a while", async () => {
  expect(await api.call("GET", "/.well-known/jwks.json")).toMatchObject({
    status: 200,
    headers: { "cache-control": "public, max-age=60" },
    json: { keys: [STAGED_KEY] },
  });
});

test("the nodes are an operator's to see, and may be out of sight", async () => {
  const { token } = await api.caller({ role: "operator" });
  const read = { formats: [1], kinds: ["session_revoked"] };
  const seen = { ...read, seenMsAgo: 20, maxStalenessMs: 1000, onStale: "deny" } as const;
  const log = { generation: "one", seq: 7, authority: "database" } as const;
  const node = { node: "n1", state: "behind", seq: 6, group: "n1:x:1" } as const;
  api.nodes = { log, nodes: [{ ...node, ...seen, version: undefined }] };
  const answer = await api.call("GET", "/v1/admin/nodes", { token });
  expect(answer.status).toBe(200);
  const told = { ...read, seen_ms_ago: 20, max_staleness_ms: 1000, on_stale: "deny" };
  expect(answer.json).toEqual({ log, nodes: [{ ...node, ...told }] });
  api.nodes = undefined;
  expect(await api.call("GET", "/v1/admin/nodes", { token })).toMatchObject({
    status: 503,
    headers: { "retry-after": "1" },
    json: { code: "log_unavailable" },
  });
});

test("every answer is counted by its route, in which there are no ids", async () => {
  // One of its own: an answer is counted when it is on its way, which may be after it has arrived.
  const counting = await InProcessApi.start(service);
  try {
    const { token } = await counting.caller();
    await counting.call("DELETE", "/v1/me/sessions/none", { token });
    await counting.call("GET", "/nowhere");
    await waitUntil(() => counting.answered.length >= 2, { what: "both", timeoutMs: 30_000 });
    const took = { durationMs: expect.any(Number) };
    expect(counting.answered).toEqual([
      { operation: "DELETE /v1/me/sessions/:session", status: 404, ...took },
      { operation: undefined, status: 404, ...took },
    ]);
  } finally {
    await counting.close();
  }
});
