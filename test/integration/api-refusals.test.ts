/** Acts that the API refuses to people whom it knows: what the audit trail says of them. */
import { randomUUID } from "node:crypto";

import { afterAll, beforeAll, expect, test } from "@jest/globals";

import { RefusalTrail } from "../../src/sessions/audit/refusal-trail.js";
import { DatabaseError } from "../../src/sessions/database/database.js";
import { operationsOf, requestOf, type ApiOperation } from "../support/api-operations.js";
import {
  InProcessApi,
  inPath,
  type ApiAnswer,
  type TestCaller,
} from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { PASSWORD, InProcessSessions } from "../support/in-process-sessions.js";
import { tenantRows } from "../support/tenant-rows.js";

let started: StartedDatabase;
let service: InProcessSessions;
let api: InProcessApi;
let operations: readonly ApiOperation[];

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  api = await InProcessApi.start(service);
  operations = await operationsOf(api);
});

afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

const actorOf = ({ tenant, user }: TestCaller) => `user:${inPath(tenant)}/${inPath(user)}`;

const idsOf = ({ tenant, user, session }: TestCaller) => {
  return { tenant, user, session, client: "a client" };
};

/** The refusals in a tenant's trail. */
async function refusalsIn(tenant: string) {
  await service.refusals.close();
  return (await service.auditOf(tenant)).filter(({ outcome }) => outcome === "refused");
}

async function ask(
  operation: ApiOperation,
  caller: TestCaller,
  path: Readonly<Record<string, string>>,
): Promise<ApiAnswer> {
  const asked = requestOf(operation, { path, token: caller.token });
  return api.call(asked.method, asked.path, asked.call);
}

/** What changes something, by what the trail calls it. */
const ADMIN_ACTS: Readonly<Record<string, string>> = {
  "POST /v1/admin/tenants": "tenant_created",
  "POST /v1/admin/tenants/{tenant}/users": "user_created",
  "DELETE /v1/admin/tenants/{tenant}/users/{user}/sessions/{session}": "session_revoked",
  "POST /v1/admin/tenants/{tenant}/users/{user}/revoke-all": "user_revoked",
  "POST /v1/admin/tenants/{tenant}/users/{user}/disable": "user_disabled",
  "POST /v1/admin/tenants/{tenant}/users/{user}/enable": "user_enabled",
  "POST /v1/admin/tenants/{tenant}/users/{user}/unlock": "account_unlocked",
  "POST /v1/admin/tenants/{tenant}/users/{user}/password": "password_set",
  "POST /v1/admin/tenants/{tenant}/tokens/revoke": "token_revoked",
  "POST /v1/admin/tenants/{tenant}/clients/{client}/revoke-all": "client_revoked",
  "POST /v1/admin/tenants/{tenant}/revoke-all": "tenant_revoked",
  "POST /v1/admin/clients/{client}/revoke-all": "client_revoked",
  "POST /v1/admin/keys/revoke": "key_revoked",
  "POST /v1/admin/keys/lift": "key_revocation_lifted",
  "POST /v1/admin/revoke-all": "all_revoked",
};
const IN_A_TENANT = Object.entries(ADMIN_ACTS).filter(([name]) => name.includes("{tenant}"));
const OWN_ACTS: Readonly<Record<string, string>> = {
  "DELETE /v1/me/sessions/{session}": "session_revoked",
  "POST /v1/me/sessions/revoke-others": "other_sessions_revoked",
};

test("each act of an administrator that a user tries leaves a row, and no reading does", async () => {
  const caller = await api.caller();
  const colleague = await api.caller({ tenant: caller.tenant });
  const tried = operations.filter(({ name }) => name.includes(" /v1/admin/"));
  expect(tried.length).toBeGreaterThan(Object.keys(ADMIN_ACTS).length);
  for (const operation of tried) {
    expect((await ask(operation, caller, idsOf(colleague))).status).toBe(403);
  }
  const rows = await refusalsIn(caller.tenant);
  // One account's refusals of one kind are one row in a minute.
  const kinds = [...new Set(Object.values(ADMIN_ACTS))];
  expect(rows.map(({ kind }) => kind).sort()).toEqual(kinds.sort());
  for (const row of rows) {
    expect(row).toMatchObject({
      reason: "scope_insufficient",
      actor: actorOf(caller),
      address: "127.0.0.1",
      at: new Date(service.clock.wallMs()),
    });
  }
  expect(rows.find(({ kind }) => kind === "user_disabled")).toMatchObject({
    userId: colleague.user,
    sessionId: null,
    detail: {},
  });
  expect(rows.find(({ kind }) => kind === "session_revoked")).toMatchObject({
    userId: colleague.user,
    sessionId: colleague.session,
  });
  expect(rows.find(({ kind }) => kind === "client_revoked")).toMatchObject({
    userId: null,
    detail: { client: "a client" },
  });
});

test("so does each act on the own sessions with a one-time password", async () => {
  const caller = await api.caller({ oneTime: true });
  for (const name of Object.keys(OWN_ACTS)) {
    const operation = operations.find((one) => one.name === name);
    if (operation === undefined) throw new Error(`there is no ${name}`);
    const { status } = await ask(operation, caller, { session: "another" });
    expect(status).toBe(403);
  }
  expect(await refusalsIn(caller.tenant)).toMatchObject([
    { kind: "session_revoked", userId: caller.user, sessionId: "another", actor: actorOf(caller) },
    { kind: "other_sessions_revoked", userId: caller.user, sessionId: caller.session },
  ]);
});

test("an act beyond the own tenant stands in the own trail only, alike whether the ids exist", async () => {
  const victim = await api.caller({ role: "tenant_admin" });
  const before = await tenantRows(started.database, victim.tenant);
  const sekisho = await refusalsIn("sekisho");
  const seen = [];
  const invented = {
    tenant: `tenant ${randomUUID()}`,
    user: "nobody",
    session: "none",
    client: "an app",
  };
  for (const ids of [idsOf(victim), invented]) {
    const caller = await api.caller({ role: "tenant_admin" });
    for (const [name] of IN_A_TENANT) {
      const operation = operations.find((one) => one.name === name);
      if (operation === undefined) throw new Error(`there is no ${name}`);
      expect((await ask(operation, caller, ids)).status).toBe(404);
    }
    const rows = await refusalsIn(caller.tenant);
    const told = rows.map(({ kind, reason, userId, sessionId, detail, actor }) => {
      expect(actor).toBe(actorOf(caller));
      expect(Object(detail)).toMatchObject({ tenant: ids.tenant });
      const text = JSON.stringify(detail)
        .replaceAll(ids.tenant, "their tenant")
        .replaceAll(ids.user, "their user")
        .replaceAll(ids.session, "their session")
        .replaceAll(`"client":"${ids.client}"`, "their client");
      return { kind, reason, userId, sessionId, text };
    });
    seen.push(told);
  }
  expect(seen[0]).toHaveLength(IN_A_TENANT.length);
  expect(seen[0]).toEqual(seen[1]);
  // Nobody of that name in the own tenant is meant.
  for (const row of seen[0] ?? []) {
    expect(row).toMatchObject({ reason: "not_found", userId: null, sessionId: null });
  }
  expect(await tenantRows(started.database, victim.tenant)).toEqual(before);
  expect(await refusalsIn("sekisho")).toEqual(sekisho);
});

test("what is no id is left out of the row", async () => {
  const caller = await api.caller();
  const path = `/v1/admin/tenants/${inPath(caller.tenant)}/users/%00/disable`;
  expect((await api.call("POST", path, { token: caller.token })).status).toBe(403);
  expect(await refusalsIn(caller.tenant)).toMatchObject([
    { kind: "user_disabled", userId: null, detail: {} },
  ]);
});

test("a password that may not be used leaves a row, and the password is not in it", async () => {
  const admin = await api.caller({ role: "tenant_admin" });
  const user = await api.caller({ tenant: admin.tenant });
  const users = `/v1/admin/tenants/${inPath(admin.tenant)}/users`;
  const bad = "abc1234";
  const answers = [
    await api.call("POST", `${users}/${inPath(user.user)}/password`, {
      token: admin.token,
      body: { password: bad, reason: "why not" },
    }),
    await api.call("POST", users, {
      token: admin.token,
      body: { user_id: "new", login: "new@here", password: bad },
    }),
    await api.call("PUT", "/v1/me/password", {
      token: user.token,
      body: { current_password: PASSWORD, new_password: bad },
    }),
  ];
  for (const { status, json } of answers) {
    expect({ status, json }).toMatchObject({
      status: 400,
      json: { code: "password_unacceptable" },
    });
  }
  const rows = await refusalsIn(admin.tenant);
  const reason = "password_unacceptable";
  expect(rows).toMatchObject([
    { kind: "password_set", reason, actor: actorOf(admin), userId: user.user },
    { kind: "user_created", reason, userId: "new", detail: { login: "new@here" } },
    { kind: "password_changed", reason, actor: actorOf(user), userId: user.user },
  ]);
  expect(rows.at(-1)?.sessionId).toBe(user.session);
  expect(JSON.stringify(rows)).not.toContain(bad);
});

test("disabling the last operator leaves a row among the operators'", async () => {
  const operator = await api.caller({ role: "operator" });
  const path = `/v1/admin/tenants/sekisho/users/${inPath(operator.user)}/disable`;
  const { status } = await api.call("POST", path, { token: operator.token, body: {} });
  expect(status).toBe(409);
  expect((await refusalsIn("sekisho")).at(-1)).toMatchObject({
    kind: "user_disabled",
    reason: "last_operator",
    actor: actorOf(operator),
    userId: operator.user,
  });
});

test("a caller without a good token leaves no row", async () => {
  const gone = await api.caller({ role: "tenant_admin" });
  await api.call("POST", "/v1/logout", { token: gone.token });
  for (const token of [undefined, "nonsense", gone.token]) {
    const path = `/v1/admin/tenants/${inPath(gone.tenant)}/users/${inPath(gone.user)}/disable`;
    const { status } = await api.call("POST", path, token === undefined ? {} : { token });
    expect(status).toBe(401);
  }
  expect(await refusalsIn(gone.tenant)).toEqual([]);
});

test("whoever hammers gets the same answer each time, and one row", async () => {
  const caller = await api.caller();
  const path = `/v1/admin/tenants/${inPath(caller.tenant)}/users`;
  for (let count = 0; count < 30; count += 1) {
    expect((await api.call("POST", path, { token: caller.token })).status).toBe(403);
  }
  expect(await refusalsIn(caller.tenant)).toHaveLength(1);
});

test("a refusal stays one where its row cannot be written, and is not kept waiting", async () => {
  const { clock, observer, db } = service;
  let fail = (): void => undefined;
  const failing = new Promise<never>((_resolve, reject) => {
    fail = () => reject(new DatabaseError("unavailable", "the database hangs"));
  });
  const hanging = { ...db, transaction: () => failing };
  const refusals = new RefusalTrail({ db: hanging, clock, observer: observer.refusals });
  const hung = await InProcessApi.start(service, { parts: { refusals } });
  try {
    const caller = await api.caller();
    observer.told.length = 0;
    const path = `/v1/admin/tenants/${inPath(caller.tenant)}/users`;
    const answer = await hung.call("POST", path, { token: caller.token });
    expect(answer).toMatchObject({ status: 403, json: { code: "scope_insufficient" } });
    expect(observer.told).toEqual([]);
    fail();
    await refusals.close();
    expect(observer.told).toEqual(["refusal not written"]);
    expect(hung.failures).toEqual([]);
  } finally {
    fail();
    await hung.close();
  }
});
