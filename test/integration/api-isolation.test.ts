/** An administrator of one tenant, armed with another one's ids, against everything the API has. */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "@jest/globals";

import {
  operationsOf,
  requestOf,
  type ApiOperation,
  type Filling,
} from "../support/api-operations.js";
import {
  InProcessApi,
  inPath,
  type ApiAnswer,
  type TestCaller,
} from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { PASSWORD, InProcessSessions } from "../support/in-process-sessions.js";
import { tenantRows } from "../support/tenant-rows.js";
import { unsignedToken } from "../support/unsigned-token.js";

let started: StartedDatabase;
let service: InProcessSessions;
let api: InProcessApi;
let operations: readonly ApiOperation[];
let operator: TestCaller;
let mallory: TestCaller;
let ownUser: TestCaller;
let victim: TestCaller;

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  api = await InProcessApi.start(service);
  operations = await operationsOf(api);
  operator = await api.caller({ role: "operator" });
  mallory = await api.caller({ role: "tenant_admin" });
  ownUser = await api.caller({ tenant: mallory.tenant });
  victim = await api.caller({ role: "tenant_admin" });
  // So that its lists have a second page, and its trail an act.
  await api.caller({ tenant: victim.tenant });
  await service.open(victim);
});

afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

/** Everything that differs between two answers to the same question. */
function withoutChance(answer: ApiAnswer, id: string): unknown {
  const headers = Object.fromEntries(
    Object.entries(answer.headers).filter(
      ([name]) => !["x-request-id", "date", "content-length"].includes(name),
    ),
  );
  const text = answer.text
    .replaceAll(id, "the id")
    .replace(/"one_time_password":"[^"]*"/, '"one_time_password":"…"');
  return { status: answer.status, headers, text };
}

/** As an id of the victim's tenant looks. */
function madeUp(): string {
  return `tenant ${randomUUID()}`;
}

/** A list's cursor of the victim's, as its own administrator gets it. */
async function victimsCursor(operation: ApiOperation): Promise<string> {
  const { path } = requestOf(operation, { path: idsOf(victim), query: "limit=1" });
  const { json } = await api.call("GET", path, { token: victim.token });
  if (typeof json !== "object" || json === null || !("next_cursor" in json)) {
    throw new Error(`there is no second page of ${operation.name}`);
  }
  return String(json.next_cursor);
}

function idsOf({ tenant, user, session }: TestCaller): Record<string, string> {
  return { tenant, user, session, client: "a client" };
}

const BODIES: Readonly<Record<string, unknown>> = {
  "POST /v1/admin/tenants/{tenant}/users": { login: "somebody", password: PASSWORD },
  "POST /v1/admin/tenants": { tenant: "a new one", name: "A new one" },
  "POST /v1/admin/tenants/{tenant}/tokens/revoke": { token: unsignedToken({}) },
  "PUT /v1/me/password": { current_password: "not this", new_password: PASSWORD },
  "POST /v1/login": { login: "somebody", password: PASSWORD, device_name: "a telephone" },
};

const tokenOf = (tenant: string) => unsignedToken({ tenant_id: tenant });

interface Attack {
  readonly operation: ApiOperation;
  readonly what: string;
  readonly foreign: Filling;
  readonly invented: Filling;
  /** What the answer may repeat. */
  readonly foreignId: string;
  readonly inventedId: string;
}

/** The operation with each id in turn, and with all of them, that is the victim's. */
async function attacksOn(operation: ApiOperation): Promise<readonly Attack[]> {
  const own = { ...idsOf(mallory), user: ownUser.user, session: ownUser.session };
  const token = operation.needsToken ? mallory.token : undefined;
  const body = BODIES[operation.name];
  const base = { token, ...(body === undefined ? {} : { body }) };
  // An OAuth client belongs to its issuer: any name is as good in any tenant.
  const inPathOnly = operation.pathFields
    .map(({ name }) => name)
    .filter((name) => name !== "client");
  const choices = [...inPathOnly.map((name) => [name]), inPathOnly].filter(
    (names) => names.length > 0,
  );
  const attacks: Attack[] = choices.map((names) => {
    const inventedId = madeUp();
    const taken = Object.fromEntries(names.map((name) => [name, idsOf(victim)[name] ?? ""]));
    const invented = Object.fromEntries(names.map((name) => [name, inventedId]));
    return {
      operation,
      what: `the path's ${names.join(", ")}`,
      foreign: { ...base, path: { ...own, ...taken } },
      invented: { ...base, path: { ...own, ...invented } },
      foreignId: victim.tenant,
      inventedId,
    };
  });
  const values = {
    user: victim.user,
    actor: `user:${inPath(victim.tenant)}/${inPath(victim.user)}`,
  };
  for (const { name } of operation.queryFields) {
    if (name !== "cursor" && name !== "user" && name !== "actor") continue;
    const foreignId = name === "cursor" ? await victimsCursorOrNone(operation) : values[name];
    const inventedId = madeUp();
    const query = (id: string): string => `${name}=${encodeURIComponent(id)}`;
    attacks.push({
      operation,
      what: `the query's ${name}`,
      foreign: { ...base, path: own, query: query(foreignId) },
      invented: { ...base, path: own, query: query(inventedId) },
      foreignId,
      inventedId,
    });
  }
  return attacks;
}

/** The list of all tenants has no cursor of the victim's; the one of a list of theirs is as good. */
async function victimsCursorOrNone(operation: ApiOperation): Promise<string> {
  const theirs = operation.pathFields.length > 0;
  const users = operations.find(({ name }) => name === "GET /v1/admin/tenants/{tenant}/users");
  if (users === undefined) throw new Error("there is no list of users");
  return victimsCursor(theirs ? operation : users);
}

test("gets the same for another tenant's ids as for invented ones, from every operation", async () => {
  const before = await tenantRows(started.database, victim.tenant);
  const seen: string[] = [];
  for (const operation of operations) {
    for (const attack of await attacksOn(operation)) {
      const ask = (filling: Filling): Promise<ApiAnswer> => {
        const { method, path, call } = requestOf(operation, filling);
        return api.call(method, path, call);
      };
      const [foreign, invented] = [await ask(attack.foreign), await ask(attack.invented)];
      const what = `${operation.name} with ${attack.what}`;
      expect({ what, ...Object(withoutChance(foreign, attack.foreignId)) }).toEqual({
        what,
        ...Object(withoutChance(invented, attack.inventedId)),
      });
      expect({ what, text: foreign.text }).not.toMatchObject({
        text: expect.stringContaining(victim.login),
      });
      seen.push(`${foreign.status} ${what}`);
    }
  }
  expect(await tenantRows(started.database, victim.tenant)).toEqual(before);
  // Refused, all of them, but for searches in the own trail, which find nothing.
  expect(seen.filter((line) => !/^(400|403|404) /.test(line))).toEqual([
    "200 GET /v1/admin/tenants/{tenant}/audit with the query's user",
    "200 GET /v1/admin/tenants/{tenant}/audit with the query's actor",
  ]);
  expect(seen.length).toBeGreaterThan(30);
  const byPath = seen.filter((line) => line.includes("with the path's"));
  expect(byPath.filter((line) => !line.startsWith("404 "))).toEqual([]);
});

test("could do all that to the other tenant with its own administrator's token", async () => {
  // So the ids are the right ones, and it is not for a misspelt path that nothing was found.
  const harmless = operations.filter(
    ({ method, pathFields }) =>
      method === "GET" && pathFields.some(({ name }) => name === "tenant"),
  );
  expect(harmless.length).toBeGreaterThan(2);
  for (const operation of harmless) {
    const { path } = requestOf(operation, { path: idsOf(victim) });
    for (const token of [victim.token, operator.token]) {
      expect((await api.call("GET", path, { token })).status).toBe(200);
    }
  }
});

test.each(["user_id", "login"])(
  "takes a %s that another tenant has as freely as a new one",
  async (field) => {
    const before = await tenantRows(started.database, victim.tenant);
    const create = async (id: string): Promise<unknown> => {
      const body = { login: madeUp(), [field]: id };
      const path = `/v1/admin/tenants/${inPath(mallory.tenant)}/users`;
      const answer = await api.call("POST", path, { token: mallory.token, body });
      const other = field === "login" ? /"user_id":"[^"]*"/ : /"login":"[^"]*"/;
      const replaced = { ...answer, text: answer.text.replace(other, "") };
      return withoutChance(replaced, id);
    };
    const taken = await create(field === "login" ? victim.login : victim.user);
    expect(taken).toEqual(await create(madeUp()));
    expect(taken).toMatchObject({ status: 201 });
    expect(await tenantRows(started.database, victim.tenant)).toEqual(before);
  },
);

test("revokes no token that names another tenant, and none of its keys or clients", async () => {
  const before = await tenantRows(started.database, victim.tenant);
  const tokens = `/v1/admin/tenants/${inPath(mallory.tenant)}/tokens/revoke`;
  const { token } = mallory;
  const ask = (path: string, body: unknown) => api.call("POST", path, { token, body });
  const revoke = (tenant: string) => ask(tokens, { token: tokenOf(tenant) });
  const [foreign, invented] = [await revoke(victim.tenant), await revoke(madeUp())];
  expect(foreign).toMatchObject({
    status: 400,
    json: { errors: [{ field: "token", problem: "names another tenant" }] },
  });
  expect(withoutChance(foreign, "")).toEqual(withoutChance(invented, ""));
  expect((await revoke(mallory.tenant)).status).toBe(200);
  const key = { issuer: "https://issuer.example", thumbprint: "A".repeat(43) };
  for (const [path, body] of [
    ["/v1/admin/keys/revoke", key],
    ["/v1/admin/keys/lift", key],
    ["/v1/admin/clients/one/revoke-all", {}],
    ["/v1/admin/revoke-all", {}],
  ] as const) {
    expect({ path, ...(await ask(path, body)) }).toMatchObject({ path, status: 403 });
  }
  expect(await tenantRows(started.database, victim.tenant)).toEqual(before);
});

test("learns from a login or a refresh nothing about which tenants there are", async () => {
  const login = (tenant: string): Promise<ApiAnswer> =>
    api.call("POST", "/v1/login", {
      body: { tenant, login: "nobody", password: PASSWORD, device_name: "a telephone" },
    });
  const refresh = (tenant: string): Promise<ApiAnswer> => {
    const named = Buffer.from(tenant).toString("base64url");
    const refresh_token = `skr1.${named}.${Buffer.alloc(32, 7).toString("base64url")}`;
    return api.call("POST", "/v1/refresh", { body: { refresh_token } });
  };
  for (const ask of [login, refresh]) {
    const [there, invented] = [await ask(victim.tenant), await ask(madeUp())];
    expect(there.status).toBe(401);
    expect(withoutChance(there, "")).toEqual(withoutChance(invented, ""));
  }
});

test.each([
  [
    "a user without a role",
    { role: "user" },
    /^(POST|DELETE|GET|PUT) \/v1\/admin\//,
    "scope_insufficient",
  ],
  [
    "a session that must replace its password",
    { oneTime: true },
    /^(?!POST \/v1\/logout|PUT \/v1\/me\/password)/,
    "scope_insufficient",
  ],
] as const)("refuses %s wherever they have no business", async (_who, of, routes, code) => {
  const caller = await api.caller(of);
  const refused = operations.filter(({ name, needsToken }) => needsToken && routes.test(name));
  expect(refused.length).toBeGreaterThan(10);
  for (const operation of refused) {
    const { method, path } = requestOf(operation, { path: idsOf(caller) });
    const { status, json } = await api.call(method, path, { token: caller.token });
    expect({ name: operation.name, status, json }).toMatchObject({ status: 403, json: { code } });
  }
});

test("refuses whoever brings no token, a wrong one, or one whose session is over", async () => {
  const gone = await api.caller();
  await api.call("POST", "/v1/logout", { token: gone.token });
  const cases = [
    [undefined, "token_missing", 'Bearer realm="sekisho"'],
    ["nonsense", "invalid_token", 'error="invalid_token"'],
    [gone.token, "invalid_token", 'error="invalid_token"'],
  ] as const;
  const guarded = operations.filter(({ needsToken }) => needsToken);
  expect(guarded).toHaveLength(operations.length - 3);
  for (const operation of guarded) {
    for (const [token, code, challenge] of cases) {
      const { method, path, call } = requestOf(operation, { path: idsOf(victim), token });
      const { status, json, headers } = await api.call(method, path, call);
      expect({ name: operation.name, status, json }).toMatchObject({ status: 401, json: { code } });
      expect(headers["www-authenticate"]).toContain(challenge);
    }
  }
});
