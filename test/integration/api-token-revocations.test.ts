/** What the API answers to administrators who revoke more than a user. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";

import { InProcessApi, inPath, type TestCaller } from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions } from "../support/in-process-sessions.js";
import { tenantRows } from "../support/tenant-rows.js";
import { unsignedToken } from "../support/unsigned-token.js";

let started: StartedDatabase;
let service: InProcessSessions;
let api: InProcessApi;

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
  api = await InProcessApi.start(service);
});

afterAll(async () => {
  await api.close();
  await service.close();
  await started.stop();
});

describe("a tenant's administrator", () => {
  let admin: TestCaller;
  let user: TestCaller;
  beforeEach(async () => {
    admin = await api.caller({ role: "tenant_admin" });
    user = await api.caller({ tenant: admin.tenant });
  });

  test.each([
    ["a string without dots", "token", "is not a token, or names no issuer"],
    [
      "a token without an issuer",
      unsignedToken({ iss: undefined }),
      "is not a token, or names no issuer",
    ],
    ["a token of another tenant", unsignedToken({ tenant_id: "another" }), "names another tenant"],
  ])("is refused to revoke %s", async (_what, token, problem) => {
    const path = `/v1/admin/tenants/${inPath(admin.tenant)}/tokens/revoke`;
    const answer = await api.call("POST", path, { token: admin.token, body: { token } });
    expect(answer).toMatchObject({
      status: 400,
      json: { code: "request_invalid", errors: [{ field: "token", problem }] },
    });
    expect(await service.revocationsOf(admin.tenant)).toEqual([]);
  });

  test("revokes a token that has expired, and its text is nowhere in the answer or the database", async () => {
    const token = unsignedToken({ tenant_id: admin.tenant, jti: "number one", exp: 1 });
    const path = `/v1/admin/tenants/${inPath(admin.tenant)}/tokens/revoke`;
    const answer = await api.call("POST", path, { token: admin.token, body: { token } });
    expect(answer).toMatchObject({ status: 200, json: { published: true } });
    const payload = token.split(".")[1] ?? "";
    const rows = (await tenantRows(started.database, admin.tenant)).join();
    expect(rows).toContain("number one");
    for (const text of [answer.text, rows]) expect(text).not.toContain(payload);
  });

  test("is answered after ending their own session with their whole tenant", async () => {
    const { token } = admin;
    const path = `/v1/admin/tenants/${inPath(admin.tenant)}/revoke-all`;
    const body = { reason: "a break-in" };
    expect(await api.call("POST", path, { token, body })).toMatchObject({ status: 200 });
    expect(await api.call("POST", path, { token, body })).toMatchObject({ status: 401 });
    const used = await api.call("GET", "/v1/me/sessions", { token: user.token });
    expect(used.status).toBe(401);
    service.clock.advance(1000);
    const again = await api.caller({ tenant: admin.tenant, role: "tenant_admin" });
    const sessions = `/v1/admin/tenants/${inPath(user.tenant)}/users/${inPath(user.user)}/sessions`;
    const { json } = await api.call("GET", sessions, { token: again.token });
    expect(json).toMatchObject({ sessions: [{ ended_by: "tenant_revoked" }] });
  });
});

describe("an operator", () => {
  const key = { issuer: "https://issuer.example", thumbprint: "A".repeat(43) };

  test("revokes a key, lifts that, and is told of a key that was never revoked", async () => {
    const { token } = await api.caller({ role: "operator" });
    const ask = (verb: string, body: object) =>
      api.call("POST", `/v1/admin/keys/${verb}`, { token, body });
    expect(await ask("lift", key)).toMatchObject({ status: 404, json: { code: "not_found" } });
    expect(await ask("revoke", key)).toMatchObject({ status: 200, json: { published: true } });
    for (let time = 0; time < 2; time += 1) {
      expect(await ask("lift", { ...key, reason: "rotated" })).toMatchObject({ status: 204 });
    }
    expect(await ask("revoke", { ...key, thumbprint: "A".repeat(42) })).toMatchObject({
      status: 400,
      json: { errors: [{ field: "thumbprint", problem: "must be SHA-256 in base64url" }] },
    });
  });

  test("revokes a client in all tenants", async () => {
    const { token } = await api.caller({ role: "operator" });
    const path = "/v1/admin/clients/a%2Fclient/revoke-all";
    expect(await api.call("POST", path, { token })).toMatchObject({ status: 200 });
    expect(service.outbox.published.at(-1)?.revocation).toMatchObject({
      kind: "client_revoked",
      tenant: undefined,
      client: "a/client",
    });
  });

  test("is answered after ending every session, the own one too", async () => {
    const { token } = await api.caller({ role: "operator" });
    const user = await api.caller();
    const everything = () => api.call("POST", "/v1/admin/revoke-all", { token });
    expect(await everything()).toMatchObject({ status: 200, json: { published: true } });
    expect(await everything()).toMatchObject({ status: 401 });
    expect((await service.refresh(user.refreshToken)).kind).toBe("refused");
  });
});
