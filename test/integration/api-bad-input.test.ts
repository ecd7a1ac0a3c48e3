/** Every operation of the OpenAPI document, asked wrongly in every way: refused, and nothing changed. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

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
let target: TestCaller;

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  api = await InProcessApi.start(service);
  operations = await operationsOf(api);
  operator = await api.caller({ role: "operator" });
  target = await api.caller();
});

afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

const KEY = { issuer: "https://issuer.example", thumbprint: "A".repeat(43), reason: "wanted" };

/** What each operation takes when it is asked rightly. */
const RIGHT: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "POST /v1/login": {
    tenant: "none",
    login: "none",
    password: PASSWORD,
    device_name: "a telephone",
  },
  "POST /v1/refresh": { refresh_token: "none" },
  "PUT /v1/me/password": { current_password: PASSWORD, new_password: "another long password" },
  "POST /v1/admin/tenants": { tenant: "a new tenant", name: "A new one", reason: "wanted" },
  "POST /v1/admin/tenants/{tenant}/users": {
    user_id: "a new user",
    login: "a new login",
    role: "user",
    password: PASSWORD,
    reason: "wanted",
  },
  "POST /v1/admin/tenants/{tenant}/tokens/revoke": { token: unsignedToken({}), reason: "wanted" },
  "POST /v1/admin/keys/revoke": KEY,
  "POST /v1/admin/keys/lift": KEY,
};

interface Wrong {
  readonly what: string;
  readonly filling: Filling;
  readonly status: 400 | 413 | 415;
  readonly field: string;
}

function rightBody(operation: ApiOperation): Readonly<Record<string, unknown>> | undefined {
  if (operation.bodyFields === undefined) return undefined;
  const whole = RIGHT[operation.name];
  if (whole !== undefined) return whole;
  const values: Readonly<Record<string, unknown>> = { reason: "wanted", password: PASSWORD };
  return Object.fromEntries(operation.bodyFields.map(({ name }) => [name, values[name]]));
}

function rightFilling(operation: ApiOperation): Filling {
  const { tenant, user, session } = target;
  const body = rightBody(operation);
  return {
    path: { tenant, user, session, client: "a client" },
    ...(operation.needsToken ? { token: operator.token } : {}),
    ...(body === undefined ? {} : { body }),
  };
}

/** Texts that no field may be: PostgreSQL cannot hold the first, UTF-8 cannot write the second. */
const UNFIT_TEXTS = ["\u0000", "\ud800", ""];
const WRONG_TYPES = [null, 7, true, [], ["x"], {}];

function wrongBodies(operation: ApiOperation): readonly Wrong[] {
  const { bodyFields } = operation;
  const right = rightBody(operation);
  const base = rightFilling(operation);
  if (bodyFields === undefined || right === undefined) return [];
  const wrong = (what: string, field: string, body: unknown): Wrong => ({
    what,
    field,
    status: 400,
    filling: { ...base, body },
  });
  return bodyFields.flatMap(({ name, required, maxLength = 256 }) => [
    ...WRONG_TYPES.map((value) =>
      wrong(`${name} is ${JSON.stringify(value)}`, name, { ...right, [name]: value }),
    ),
    ...["", "x".repeat(maxLength + 1), "\u{1f600}".repeat(maxLength + 1)].map((text) =>
      wrong(`${name} has ${text.length} characters`, name, { ...right, [name]: text }),
    ),
    ...(/password|token/.test(name) ? [] : UNFIT_TEXTS).map((text) =>
      wrong(`${name} is ${JSON.stringify(text)}`, name, { ...right, [name]: text }),
    ),
    ...(required
      ? [
          wrong(
            `${name} is missing`,
            name,
            Object.fromEntries(Object.entries(right).filter(([one]) => one !== name)),
          ),
        ]
      : []),
  ]);
}

const KIB_64 = 64 * 1024;

/** Where a body is taken, and where none is expected but one could be sent. */
function wrongDocuments(operation: ApiOperation): readonly Wrong[] {
  if (operation.method === "GET") return [];
  const base = rightFilling(operation);
  const right = { ...rightBody(operation) };
  const text = JSON.stringify({ ...right, reason: "wanted" });
  const unknown = ["surprise", "__proto__", "constructor", "toString"];
  const wrong = (what: string, body: unknown, field = "body", status: Wrong["status"] = 400) => ({
    what,
    field,
    status,
    filling: { ...base, body },
  });
  const json = (contentType: string): Wrong => ({
    what: `content type ${contentType}`,
    field: "content-type",
    status: 415,
    filling: { ...base, body: text, headers: { "content-type": contentType } },
  });
  return [
    ...unknown.map((name) =>
      wrong(
        `unknown field ${name}`,
        `{"${name}":"x",${JSON.stringify(right).slice(1)}`.replace(",}", "}"),
        name,
      ),
    ),
    wrong("a body over 64 KiB", { ...right, surprise: "x".repeat(KIB_64) }, "body", 413),
    wrong("half a body", text.slice(0, -1)),
    wrong("no JSON", "login=x"),
    wrong("bytes that are no UTF-8", Buffer.from(`{"reason":"\u00ff"}`, "latin1")),
    wrong("a member twice", `{"reason":"a","reason":"b"}`),
    wrong("an array", "[]"),
    wrong("null", "null"),
    wrong("a text", '"x"'),
    wrong("deep nesting", `{"a":${"[".repeat(1000)}${"]".repeat(1000)}}`),
    json("text/plain"),
    json("application/x-www-form-urlencoded"),
    json("application/jsonx"),
    json("multipart/form-data; boundary=x"),
  ];
}

function wrongQueries(operation: ApiOperation): readonly Wrong[] {
  const base = rightFilling(operation);
  const values: Readonly<Record<string, readonly string[]>> = {
    wait_ms: ["-1", "10001", "1.5", "1e3", "0x10", "%201", "+1", "99999999999999999999", "one"],
    limit: ["0", "201", "-1", "ten", "1.0"],
    cursor: ["x", "e30", "W10", "x".repeat(9000), "%00"],
    from: ["yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "1969-12-31T23:59:59Z"],
    to: ["0", "9999-12-31T23:59:59-23:00"],
    kind: ["nonsense"],
    user: ["%00", "x".repeat(257)],
    actor: ["%00"],
    reason: ["%00", "x".repeat(257)],
  };
  const known = operation.queryFields.flatMap(({ name }) => {
    const own = values[name];
    if (own === undefined) throw new Error(`nobody has thought of a wrong ${name}`);
    return [
      ...[...own, "", "%", "%ff", "%ed%a0%80"].map((value) => `${name}=${value}`),
      `${name}=1&${name}=1`,
    ].map((query) => ({ query, name }));
  });
  return [...known, ...["surprise", "__proto__"].map((name) => ({ query: `${name}=1`, name }))].map(
    ({ query, name }) => ({
      what: `query ${query.slice(0, 80)}`,
      field: name,
      status: 400,
      filling: { ...base, query },
    }),
  );
}

/** Ids that cannot be; what cannot even be decoded has no name. */
function wrongPaths(operation: ApiOperation): readonly Wrong[] {
  const base = rightFilling(operation);
  return operation.pathFields.flatMap(({ name }) =>
    ["\u0000", "a\nb", "x".repeat(257), "\u{1f600}".repeat(257), "\u0085"].map((id) => ({
      what: `path with ${name} ${JSON.stringify(id).slice(0, 30)}`,
      field: name,
      status: 400,
      filling: { ...base, path: { ...base.path, [name]: id } },
    })),
  );
}

async function everything(): Promise<readonly string[]> {
  const rows = [target.tenant, "sekisho", "none", "a new tenant"].map((tenant) =>
    tenantRows(started.database, tenant),
  );
  return (await Promise.all(rows)).flat();
}

async function ask(operation: ApiOperation, filling: Filling): Promise<ApiAnswer> {
  const { method, path, call } = requestOf(operation, filling);
  return api.call(method, path, call);
}

test.each([
  ["bodies whose fields are wrong", wrongBodies, 200],
  ["bodies that are wrong as a whole", wrongDocuments, 100],
  ["queries", wrongQueries, 100],
  ["paths", wrongPaths, 50],
] as const)("refuses wrong %s by name and changes nothing", async (_what, wrongsOf, least) => {
  const before = await everything();
  let asked = 0;
  for (const operation of operations) {
    const wrongs = wrongsOf(operation);
    const answers = await Promise.all(wrongs.map(({ filling }) => ask(operation, filling)));
    asked += answers.length;
    for (const [at, { what, status, field }] of wrongs.entries()) {
      expect({ operation: operation.name, what, ...answers[at] }).toMatchObject({
        status,
        headers: { "content-type": expect.stringContaining("application/problem+json") },
        json: { status, errors: expect.arrayContaining([expect.objectContaining({ field })]) },
      });
    }
  }
  expect(asked).toBeGreaterThan(least);
  expect(await everything()).toEqual(before);
  expect(api.failures).toEqual([]);
});

test.each(["%", "%zz", "%ff", "%c3%28", "%ed%a0%80"])(
  "refuses a path with %s in it, which cannot be decoded",
  async (id) => {
    const { token } = operator;
    const answer = await api.call("GET", `/v1/admin/tenants/${id}/users`, { token });
    expect(answer).toMatchObject({
      status: 400,
      headers: { "x-request-id": expect.any(String) },
      json: { code: "request_invalid", errors: [{ field: "path" }] },
    });
  },
);

describe("what is right", () => {
  test("is not refused, so that it was the fault that was refused above", async () => {
    // What ends things comes last.
    const order = (name: string): number =>
      ["POST /v1/admin/revoke-all", "POST /v1/logout", "PUT /v1/me/password"].indexOf(name) + 1;
    const sorted = [...operations].sort((a, b) => order(b.name) - order(a.name)).reverse();
    const refused: string[] = [];
    for (const operation of sorted) {
      const { status, json } = await ask(operation, rightFilling(operation));
      if (status === 400 || status > 404) refused.push(`${operation.name} ${JSON.stringify(json)}`);
      if (order(operation.name) === 0) continue;
      service.clock.advance(1000);
      operator = await api.caller({ role: "operator" });
    }
    expect(refused).toEqual([]);
  });

  test("may come without a body where every field of it may be left out", async () => {
    const { token } = operator;
    const user = await service.addUser();
    const path = `/v1/admin/tenants/${inPath(user.tenant)}/users/${inPath(user.user)}/unlock`;
    const headers = { "content-type": "application/json" };
    const fresh = token === operator.token ? (await api.caller({ role: "operator" })).token : token;
    for (const call of [{}, { headers }, { headers, body: "" }, { body: {} }]) {
      expect(await api.call("POST", path, { token: fresh, ...call })).toMatchObject({
        status: 204,
      });
    }
  });

  test("has its path decoded once", async () => {
    const { token } = await api.caller({ role: "operator" });
    const tenant = await service.addTenant();
    for (const userId of ["a/b", "%2F", "%", "50%25", "a?b#c", "...", "é", "\u{1f600}"]) {
      const users = `/v1/admin/tenants/${inPath(tenant)}/users`;
      const body = { user_id: userId, login: userId, password: PASSWORD };
      expect(await api.call("POST", users, { token, body })).toMatchObject({
        status: 201,
        json: { user_id: userId },
      });
      const answer = await api.call("GET", `${users}/${inPath(userId)}/sessions`, { token });
      expect({ userId, status: answer.status }).toEqual({ userId, status: 200 });
    }
  });
});
