import { readFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { status as grpcStatus } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { parse } from "yaml";

import { EchoApi, echoSchema } from "../../dev/echo-api.js";
import { readEnvoyConfig, withAddresses } from "../../dev/envoy-config.js";
import { EnvoyProcess, validateEnvoyConfig } from "../../dev/envoy-process.js";
import { takeFreePort } from "../../dev/free-port.js";
import { repositoryRoot } from "../../dev/repository.js";
import { waitUntil } from "../../dev/wait-for.js";
import type { CheckRequest } from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { patientEnvoyConfig } from "../support/patient-envoy.js";
import { sendAsWritten } from "../support/request-as-written.js";
import { StubAuthz, allow, deny } from "../support/stub-authz.js";

const ENVOY_YAML = join(repositoryRoot(), "envoy.yaml");
const IDENTITY_HEADERS = ["x-auth-tenant-id", "x-auth-user-id", "x-auth-session-id"];

describe("the configuration that demo and tests run", () => {
  test("differs from envoy.yaml in the four socket addresses and in nothing else", async () => {
    const original: unknown = parse(await readFile(ENVOY_YAML, "utf8"));
    const changed = withAddresses(await readEnvoyConfig(), {
      listener: { port: 1 },
      admin: { port: 2 },
      api: { port: 3 },
      sekisho: { port: 4 },
    });
    const endpoint = "load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address";
    expect(differences(original, JSON.parse(JSON.stringify(changed)))).toEqual([
      "admin.address.socket_address.port_value: 9901 -> 2",
      "static_resources.listeners.0.address.socket_address.port_value: 10000 -> 1",
      `static_resources.clusters.0.${endpoint}.port_value: 8080 -> 3`,
      `static_resources.clusters.1.${endpoint}.port_value: 9191 -> 4`,
    ]);
  });

  test("can reach Sekisho by a Unix socket", async () => {
    const config = await readEnvoyConfig();
    const changed = withAddresses(config, {
      listener: { port: 10000 },
      admin: { port: 9901 },
      api: { port: 8080 },
      sekisho: { path: "/run/authz.sock" },
    });
    const address =
      "static_resources.clusters.1.load_assignment.endpoints.0.lb_endpoints.0.endpoint.address";
    expect(differences(config, changed)).toEqual([
      `${address}.socket_address: {"address":"127.0.0.1","port_value":9191} -> undefined`,
      `${address}.pipe: undefined -> {"path":"/run/authz.sock"}`,
    ]);
  });
});

describe("envoy --mode validate", () => {
  test("accepts envoy.yaml without a warning", async () => {
    expect(await validateEnvoyConfig(ENVOY_YAML)).toEqual({
      valid: true,
      output: `configuration '${ENVOY_YAML}' OK`,
    });
  });

  test("refuses a setting that Envoy does not know", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
    try {
      const file = join(folder, "envoy.yaml");
      const text = await readFile(ENVOY_YAML, "utf8");
      await writeFile(file, text.replace("failure_mode_allow:", "failure_mode_alow:"));
      const answer = await validateEnvoyConfig(file);
      expect(answer.valid).toBe(false);
      expect(answer.output).toContain("failure_mode_alow");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe("a running Envoy", () => {
  let authz: StubAuthz;
  let api: EchoApi;
  let envoy: EnvoyProcess;

  beforeAll(async () => {
    authz = await StubAuthz.start();
    api = await EchoApi.start();
    envoy = await EnvoyProcess.start({
      api: { port: api.port },
      sekisho: { port: authz.port },
      config: await patientEnvoyConfig(),
    });
  });
  afterAll(async () => {
    await envoy.close();
    await api.close();
    authz.close();
  });
  beforeEach(() => {
    authz.checks.length = 0;
    authz.respond = () => allow({ reason: "allowed" });
  });

  test("starts without a warning", () => {
    expect(envoy.lines.filter((line) => !line.startsWith("{"))).toEqual([]);
  });

  test("tells Sekisho method, path with query, host, and four headers byte for byte", async () => {
    await sendAsWritten(envoy, "/things?a=1", {
      headers: [
        ...["Authorization", "Bearer \xe9", "Cookie", "secret=1", "x-other", "1"],
        ...["traceparent", "00-one-01", "traceparent", "00-two-01", "tracestate", "a=1"],
        ...["x-b3-traceid", "0af7651916cd43dd", "x-forwarded-for", "10.0.0.1"],
      ],
    });
    const http = authz.checks[0]?.attributes?.request?.http;
    expect(http).toMatchObject({ method: "GET", path: "/things?a=1", host: "example.com" });
    expect(http?.headers).toEqual({});
    expect(rawHeaders(authz.checks[0])).toEqual([
      "authorization: Bearer \xe9",
      "traceparent: 00-one-01",
      "traceparent: 00-two-01",
      "x-b3-traceid: 0af7651916cd43dd",
      expect.stringMatching(/^x-request-id: [0-9a-f-]{36}$/u),
    ]);
  });

  test("tells Sekisho of two authorization headers, joined by a comma", async () => {
    await sendAsWritten(envoy, "/", {
      headers: ["authorization", "Bearer one", "Authorization", "Bearer two"],
    });
    expect(rawHeaders(authz.checks[0])).toContain("authorization: Bearer one,Bearer two");
  });

  test.each([
    ["/", { "sekisho.auth": "required" }],
    ["/publications", { "sekisho.auth": "required" }],
    ["/public", { "sekisho.auth": "public" }],
    ["/public/logo", { "sekisho.auth": "public" }],
    [
      "/public/../orders",
      { "sekisho.auth": "required", "sekisho.scopes": "orders:read orders:write" },
    ],
    ["//orders/7", { "sekisho.auth": "required", "sekisho.scopes": "orders:read orders:write" }],
    ["/catalogue", { "sekisho.auth": "optional" }],
    ["/tenants/acme/users", { "sekisho.auth": "required", "sekisho.tenant": "acme" }],
    ["/tenants/acme2", { "sekisho.auth": "required" }],
    ["/timetable", { "sekisho.auth": "required", "sekisho.on_stale": "allow" }],
    ["/payments", { "sekisho.auth": "required", "sekisho.on_stale": "error" }],
    ["/events/news", { "sekisho.auth": "required" }],
    ["/socket/chat", { "sekisho.auth": "required" }],
    ["/browser/things", { "sekisho.auth": "required" }],
    ["/orders;v=1", { "sekisho.auth": "public" }],
    ["/tenants/acme/%3Bx", { "sekisho.auth": "public" }],
  ])("asks Sekisho about %s by the policy of its route", async (path, extensions) => {
    await sendAsWritten(envoy, path);
    expect(authz.checks.map(({ attributes }) => attributes?.contextExtensions)).toEqual([
      extensions,
    ]);
  });

  test.each(["/", "/public/logo", "/catalogue", "/timetable", "/events", "/socket", "/browser"])(
    "keeps identity headers of a client from the API on %s",
    async (path) => {
      const { status, body } = await sendAsWritten(envoy, path, {
        headers: [
          ...["x-auth-tenant-id", "evil", "X-Auth-Tenant-Id", "evil", "X-AUTH-USER-ID", "evil"],
          ...["x-auth-session-id", "evil", "x-harmless", "1"],
        ],
      });
      expect(status).toBe(200);
      const { headers } = echoSchema.parse(JSON.parse(body));
      expect(headers["x-harmless"]).toBe("1");
      expect(IDENTITY_HEADERS.filter((name) => name in headers)).toEqual([]);
    },
  );

  test("hands on the identity that Sekisho sets, whatever the client sends", async () => {
    authz.respond = () =>
      allow({ reason: "allowed" }, { "x-auth-tenant-id": "acme", "x-auth-user-id": "u-1" });
    const { body } = await sendAsWritten(envoy, "/", {
      headers: [
        ...["x-auth-tenant-id", "evil", "x-auth-user-id", "evil", "x-auth-session-id", "evil"],
        ...["connection", "keep-alive, x-auth-user-id"],
      ],
    });
    const { headers } = echoSchema.parse(JSON.parse(body));
    expect(IDENTITY_HEADERS.map((name) => headers[name])).toEqual(["acme", "u-1", undefined]);
  });

  test.each([
    ["a header with an underscore", "/public/logo", ["x_auth_user_id", "evil"]],
    ["an underscore beside hyphens", "/public/logo", ["X-Auth-User_Id", "evil"]],
    ["an escaped slash", "/public%2F..%2Forders", []],
    ["an escaped backslash", "/public%5Corders", []],
  ])("refuses %s with 400 before anyone is asked", async (_, path, headers) => {
    const before = api.requests;
    expect((await sendAsWritten(envoy, path, { headers })).status).toBe(400);
    expect(authz.checks).toEqual([]);
    expect(api.requests).toBe(before);
  });

  test.each(["/orders;v=1", "/public/%252e%252e/orders", "/%3bx"])(
    "refuses %s with 400 although Sekisho lets it pass, and logs which route that was",
    async (path) => {
      const before = api.requests;
      const { status, requestId } = await sendAsWritten(envoy, path);
      expect(status).toBe(400);
      expect(api.requests).toBe(before);
      expect(await envoy.accessLogOf(requestId)).toMatchObject({
        route: "ambiguous-path",
        details: "direct_response",
        upstream: null,
      });
    },
  );

  test("answers 500 to a request with so many headers that there is no room for ours", async () => {
    const before = api.requests;
    authz.respond = () =>
      allow({ reason: "allowed" }, Object.fromEntries(IDENTITY_HEADERS.map((name) => [name, "x"])));
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => [`x-many-${at}`, "1"]).flat();
    expect((await sendAsWritten(envoy, "/", { headers: many(80) })).status).toBe(200);
    const { status, requestId } = await sendAsWritten(envoy, "/", { headers: many(95) });
    expect(status).toBe(500);
    expect(api.requests).toBe(before + 1);
    expect(await envoy.accessLogOf(requestId)).toMatchObject({
      details: "ext_authz_invalid",
      reason: "allowed",
    });
  });

  test("logs who passed and why, and neither the token nor the query", async () => {
    authz.respond = () => allow({ reason: "allowed", tenant: "acme", user: "ü", session: "s-1" });
    const { requestId } = await sendAsWritten(envoy, "/things?key=hidden", {
      headers: [
        ...["authorization", "Bearer hidden", "traceparent", "00-ab-cd-01"],
        // Anyone can write this, so it says nothing about who the client is.
        ...["x-forwarded-for", "10.0.0.1"],
      ],
    });
    const entry = await envoy.accessLogOf(requestId);
    expect(entry).toMatchObject({
      method: "GET",
      path: "/things",
      status: 200,
      route: "required",
      flags: "-",
      reason: "allowed",
      tenant: "acme",
      user: "ü",
      session: "s-1",
      client: "127.0.0.1",
      traceparent: "00-ab-cd-01",
      duration_ms: expect.any(Number),
    });
    expect(JSON.stringify(entry)).not.toContain("hidden");
  });

  test("passes on a refusal with its headers and body, and logs whom and why", async () => {
    const before = api.requests;
    authz.respond = () => deny({ reason: "session_revoked", tenant: "acme", user: "u-1" });
    const answer = await sendAsWritten(envoy, "/things");
    expect(answer).toMatchObject({ status: 401, body: '{"code":"session_revoked"}' });
    expect(answer.headers["www-authenticate"]).toBe('Bearer error="invalid_token"');
    expect(answer.headers["content-type"]).toBe("application/problem+json");
    expect(api.requests).toBe(before);
    expect(await envoy.accessLogOf(answer.requestId)).toMatchObject({
      status: 401,
      flags: "UAEX",
      upstream: null,
      reason: "session_revoked",
      tenant: "acme",
      user: "u-1",
      session: null,
    });
  });

  test("answers 503 when the check fails", async () => {
    authz.respond = () => ({ code: grpcStatus.UNAVAILABLE, details: "stale" });
    const answer = await sendAsWritten(envoy, "/payments");
    expect(answer.status).toBe(503);
    expect(await envoy.accessLogOf(answer.requestId)).toMatchObject({
      status: 503,
      flags: "UAEX",
      details: "ext_authz_error",
      reason: null,
    });
  });

  test("answers 500 when Sekisho sets a header that is none", async () => {
    const before = api.requests;
    authz.respond = () => allow({ reason: "allowed" }, { "x-auth-user-id": "a\r\nx-admin: 1" });
    expect((await sendAsWritten(envoy, "/")).status).toBe(500);
    expect(api.requests).toBe(before);
  });

  test("goes on asking a node that is not healthy, which says why it refuses", async () => {
    authz.respond = () => deny({ reason: "keys_unavailable" });
    authz.health.setStatus("", "NOT_SERVING");
    try {
      await waitUntil(
        async () => (await envoy.statistic("cluster.sekisho.membership_healthy")) === 0,
        { what: "Envoy to find Sekisho unhealthy", timeoutMs: 60_000 },
      );
      const answer = await sendAsWritten(envoy, "/");
      expect(await envoy.accessLogOf(answer.requestId)).toMatchObject({
        reason: "keys_unavailable",
      });
    } finally {
      authz.health.setStatus("", "SERVING");
    }
  });
});

test("Envoy answers 503 when the check is not answered within its timeout", async () => {
  const authz = await StubAuthz.start();
  const api = await EchoApi.start();
  const envoy = await EnvoyProcess.start({
    api: { port: api.port },
    sekisho: { port: authz.port },
  });
  try {
    const answer = await sendAsWritten(envoy, "/");
    expect(answer.status).toBe(503);
    expect(api.requests).toBe(0);
    const entry = await envoy.accessLogOf(answer.requestId);
    expect(Number(entry["duration_ms"])).toBeGreaterThanOrEqual(490);
    // Before any other timeout in that file.
    expect(Number(entry["duration_ms"])).toBeLessThan(10_000);
  } finally {
    await envoy.close();
    await api.close();
    authz.close();
  }
});

test("Envoy answers 503 on every route when there is no Sekisho", async () => {
  const api = await EchoApi.start();
  const envoy = await EnvoyProcess.start({
    api: { port: api.port },
    sekisho: { port: await takeFreePort() },
  });
  try {
    const open = ["/events", "/socket", "/browser"];
    const paths = ["/", "/public/logo", "/catalogue", "/timetable", "/payments", ...open];
    const answers = await Promise.all(paths.map((path) => sendAsWritten(envoy, path)));
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 503));
    expect(api.requests).toBe(0);
  } finally {
    await envoy.close();
    await api.close();
  }
});

function rawHeaders(check: CheckRequest | undefined): string[] | undefined {
  return check?.attributes?.request?.http?.headerMap?.headers
    .map(({ key, rawValue }) => `${key}: ${rawValue.toString("latin1")}`)
    .sort();
}

/** The places in which two JSON values differ, each as "path: before -> after". */
function differences(before: unknown, after: unknown, path = ""): string[] {
  if (!isObject(before) || !isObject(after)) {
    if (Object.is(before, after)) return [];
    return [`${path}: ${JSON.stringify(before)} -> ${JSON.stringify(after)}`];
  }
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) =>
    differences(before[name], after[name], path === "" ? name : `${path}.${name}`),
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
