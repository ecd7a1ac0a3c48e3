/** The server around the routes: its bounds, its proxies, its end, and what describes it. */
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";

import { waitUntil } from "../../dev/wait-for.js";
import { PROBLEM_CODES } from "../../src/sessions/http/problem-codes.js";
import type { Outbox, RevocationReceipt } from "../../src/sessions/outbox/outbox.js";
import type { PasswordHasher } from "../../src/sessions/passwords/password-hasher.js";
import { operationsOf } from "../support/api-operations.js";
import { InProcessApi, inPath, type InProcessApiOptions } from "../support/in-process-api.js";
import { startPglite, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions } from "../support/in-process-sessions.js";

/** For what comes by itself; far longer than any of it takes. */
const UNTIL_MS = 30_000;

let started: StartedDatabase;
let service: InProcessSessions;
const opened: InProcessApi[] = [];
const sockets: Socket[] = [];

beforeAll(async () => {
  started = await startPglite();
  service = new InProcessSessions(started.database);
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const api of opened.splice(0)) await api.close();
});

afterAll(async () => {
  await service.close();
  await started.stop();
});

async function open(options: InProcessApiOptions = {}): Promise<InProcessApi> {
  const api = await InProcessApi.start(service, options);
  opened.push(api);
  return api;
}

/** A connection on which anything may be written; `said` is what came back, `over` its end. */
async function dial(api: InProcessApi) {
  const socket = connect({ host: "127.0.0.1", port: api.port });
  sockets.push(socket);
  let said = "";
  let over = false;
  socket.setEncoding("utf8").on("data", (text: string) => (said += text));
  socket.on("close", () => (over = true)).on("error", () => undefined);
  const until = (what: string, isSo: () => boolean) =>
    waitUntil(isSo, { what, timeoutMs: UNTIL_MS });
  await until("the connection", () => !socket.connecting);
  const heard = (text: string) => until(`"${text}"`, () => said.includes(text));
  const ended = () => until("the end", () => over);
  return { write: (text: string) => socket.write(text), heard, ended, said: () => said };
}

describe("the address in an answer's trail", () => {
  const loginFrom = async (
    api: InProcessApi,
    forwarded: Record<string, string>,
  ): Promise<string> => {
    const user = await service.addUser();
    const body = { tenant: user.tenant, login: user.login, password: "x", device_name: "x" };
    await api.call("POST", "/v1/login", { body, headers: forwarded });
    return String((await service.auditOf(user.tenant)).at(-1)?.address);
  };
  const forged = { "x-forwarded-for": "203.0.113.1, 198.51.100.2" };

  test("is the socket's, whatever somebody claims who is not trusted", async () => {
    expect(await loginFrom(await open(), forged)).toBe("127.0.0.1");
    const other = await open({ trustedProxies: ["10.0.0.0/8"] });
    expect(await loginFrom(other, forged)).toBe("127.0.0.1");
  });

  test("is what a trusted proxy says, and not what was said to it", async () => {
    const api = await open({ trustedProxies: ["127.0.0.0/8"] });
    expect(await loginFrom(api, forged)).toBe("198.51.100.2");
    expect(await loginFrom(api, { "x-forwarded-for": "nonsense" })).toBe("127.0.0.1");
    const withPort = { "x-forwarded-for": "203.0.113.5:54321" };
    expect(await loginFrom(api, withPort)).toBe("203.0.113.5");
    expect(await loginFrom(api, { forwarded: "for=203.0.113.1" })).toBe("127.0.0.1");
    expect(await loginFrom(api, { "x-real-ip": "203.0.113.1" })).toBe("127.0.0.1");
  });

  test("keeps the server from starting where a proxy's is none", async () => {
    await expect(open({ trustedProxies: ["proxy.example"] })).rejects.toThrow(RangeError);
  });
});

describe("a caller who is revoked", () => {
  test("while the body is on its way is refused when it has arrived", async () => {
    const api = await open();
    const operator = await api.caller({ role: "operator" });
    const body = JSON.stringify({ tenant: "a late tenant", name: "late" });
    const slow = await dial(api);
    const head = [
      "POST /v1/admin/tenants HTTP/1.1",
      "host: x",
      `authorization: Bearer ${operator.token}`,
      "content-type: application/json",
      `content-length: ${body.length}`,
    ];
    slow.write(`${head.join("\r\n")}\r\n\r\n${body.slice(0, -1)}`);
    // By then the head of the first has been looked at, for they come one after the other.
    expect((await api.call("GET", "/v1/me/sessions", { token: operator.token })).status).toBe(200);
    const gone = await api.call("POST", "/v1/logout", { token: operator.token, body: {} });
    expect(gone.status).toBe(200);
    slow.write(body.slice(-1));
    await slow.heard('"code":"invalid_token"');
    expect(await service.trailOf("a late tenant")).toEqual([]);
  });

  test("while a password is hashed does nothing", async () => {
    let whileHashing = (): Promise<unknown> => Promise.resolve();
    const hasher: PasswordHasher = {
      pending: 0,
      queued: 0,
      hash: async (password) => {
        await whileHashing();
        return service.hasher.hash(password);
      },
      verify: (hash, password) => service.hasher.verify(hash, password),
      needsRehash: (hash) => service.hasher.needsRehash(hash),
      close: () => Promise.resolve(),
    };
    const api = await open({ parts: { hasher } });
    const { token, user } = await api.caller({ role: "operator" });
    whileHashing = () => api.call("POST", "/v1/logout", { token });
    const path = `/v1/admin/tenants/sekisho/users/${inPath(user)}/password`;
    const slow = api.call("POST", path, { token, body: {} });
    expect(await slow).toMatchObject({ status: 401, json: { code: "invalid_token" } });
  });
});

describe("a request that is too much", () => {
  test("is refused in the middle of a body that announces no length", async () => {
    const api = await open({ bounds: { bodyMaxBytes: 1000 } });
    const { write, heard } = await dial(api);
    write("POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    write("transfer-encoding: chunked\r\n\r\n");
    write(`3e9\r\n${"x".repeat(1001)}\r\n`);
    await heard("body_too_large");
  });

  test("is let in up to the last byte", async () => {
    const api = await open({ bounds: { bodyMaxBytes: 100 } });
    const ask = (bytes: number) => {
      const frame = '{"refresh_token":""}';
      const body = frame.replace('""', `"${"x".repeat(bytes - frame.length)}"`);
      return api.call("POST", "/v1/refresh", { body });
    };
    expect([(await ask(100)).status, (await ask(101)).status]).toEqual([401, 413]);
  });

  test("has its headers refused", async () => {
    const api = await open();
    const answer = await api.call("GET", "/v1/me/sessions", { headers: { x: "x".repeat(17_000) } });
    expect(answer).toMatchObject({
      status: 431,
      headers: { "content-type": "application/problem+json", connection: "close" },
      json: { code: "headers_too_large" },
    });
  });

  test("is refused where it does not arrive in time", async () => {
    const api = await open({ bounds: { requestTimeoutMs: 200 } });
    const [silent, slow] = [await dial(api), await dial(api)];
    silent.write("GET / HTTP/1.1\r\nhost: x\r\n");
    slow.write("POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n");
    slow.write("content-length: 100\r\n\r\n{");
    for (const connection of [silent, slow]) {
      await connection.heard("HTTP/1.1 408");
      await connection.ended();
    }
  });

  test("is no HTTP at all", async () => {
    const { write, ended, said } = await dial(await open());
    write("hello\r\n\r\n");
    await ended();
    expect(said()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n[^]*"code":"request_invalid"/);
  });

  test("comes on one connection too many", async () => {
    const api = await open({ bounds: { connectionsMax: 1 } });
    await dial(api);
    const second = await dial(api);
    await second.ended();
    expect(second.said()).toBe("");
  });
});

describe("a path or method that there is not", () => {
  test.each([
    ["GET", "/", 404, "route_unknown", undefined],
    ["POST", "/v1/login/", 404, "route_unknown", undefined],
    ["GET", "/V1/me/sessions", 404, "route_unknown", undefined],
    ["GET", "/v1/login", 405, "method_not_allowed", "POST"],
    ["PUT", "/v1/admin/tenants", 405, "method_not_allowed", "GET, HEAD, POST"],
    ["PROPFIND", "/v1/me/sessions/x", 405, "method_not_allowed", "DELETE"],
  ])(
    "%s %s is answered %d, before a token or a body is looked at",
    async (method, path, status, code, allow) => {
      const answer = await (await open()).call(method, path, { body: "nonsense" });
      expect(answer).toMatchObject({ status, json: { code } });
      expect(answer.headers["allow"]).toBe(allow);
    },
  );

  test("is not a HEAD of what may be read", async () => {
    const api = await open();
    const answer = await api.call("HEAD", "/.well-known/jwks.json");
    expect(answer).toMatchObject({ status: 200, text: "" });
  });
});

describe("the end", () => {
  /** Publishes when told to. */
  class HeldOutbox implements Outbox {
    waiting = 0;
    #release: (receipt: RevocationReceipt) => void = () => undefined;

    publish(): Promise<RevocationReceipt> {
      this.waiting += 1;
      return new Promise((resolve) => (this.#release = resolve));
    }

    receiptAgain(): Promise<RevocationReceipt> {
      return this.publish();
    }

    release(): void {
      this.#release({ published: true });
    }
  }

  test("lets what is under way finish, and turns away what comes meanwhile", async () => {
    const outbox = new HeldOutbox();
    const api = await open({ parts: { outbox } });
    const { token } = await api.caller();
    const late = await dial(api);
    late.write("GET /v1/me/sessions HTTP/1.1\r\nhost: x\r\n");
    const underWay = api.call("POST", "/v1/logout", { token });
    await waitUntil(() => outbox.waiting === 1, { what: "the logout", timeoutMs: UNTIL_MS });
    let closed = false;
    const closing = api.close().then(() => (closed = true));
    late.write("\r\n");
    await late.heard('"code":"stopping"');
    await late.ended();
    expect(closed).toBe(false);
    outbox.release();
    expect(await underWay).toMatchObject({
      status: 200,
      headers: { connection: "close" },
      json: { published: true },
    });
    await closing;
    await expect(api.call("GET", "/openapi.json")).rejects.toThrow("ECONNREFUSED");
  });

  test("does not wait for ever", async () => {
    const outbox = new HeldOutbox();
    const api = await open({ parts: { outbox }, bounds: { closeMaxMs: 100 } });
    const { token } = await api.caller();
    const underWay = api.call("POST", "/v1/logout", { token });
    const cut = expect(underWay).rejects.toThrow("hang up");
    await waitUntil(() => outbox.waiting === 1, { what: "the logout", timeoutMs: UNTIL_MS });
    await api.close();
    await cut;
    outbox.release();
  });

  test("is no matter for a connection that is only kept alive", async () => {
    const api = await open();
    const { write, heard, ended } = await dial(api);
    write("GET /v1/me/sessions HTTP/1.1\r\nhost: x\r\n\r\n");
    await heard("token_missing");
    await api.close();
    await ended();
  });
});

describe("a Unix socket", () => {
  test("is listened to like a port, and its peer has no address", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sekisho-api-"));
    try {
      const path = join(folder, "api.sock");
      const api = await open({ listen: { kind: "unix", path } });
      const user = await service.addUser();
      const body = { tenant: user.tenant, login: user.login, password: "x", device_name: "x" };
      const status = await new Promise((resolve, reject) => {
        const headers = { "content-type": "application/json" };
        httpRequest({ socketPath: path, method: "POST", path: "/v1/login", headers, agent: false })
          .once("error", reject)
          .once("response", (response) => resolve(response.resume().statusCode))
          .end(JSON.stringify(body));
      });
      expect(status).toBe(401);
      expect((await service.auditOf(user.tenant)).at(-1)).toMatchObject({ address: "unix" });
      await api.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("or port that another one has is an error", async () => {
    const { port } = await open();
    await expect(open({ listen: { kind: "tcp", host: "127.0.0.1", port } })).rejects.toThrow(
      "EADDRINUSE",
    );
  });
});

describe("the description", () => {
  test("lists every operation of the API", async () => {
    const users = "/v1/admin/tenants/{tenant}/users";
    const acts = ["revoke-all", "disable", "enable", "unlock", "password"];
    expect((await operationsOf(await open())).map(({ name }) => name).sort()).toEqual(
      [
        "POST /v1/login",
        "POST /v1/refresh",
        "POST /v1/logout",
        "GET /v1/me/sessions",
        "DELETE /v1/me/sessions/{session}",
        "POST /v1/me/sessions/revoke-others",
        "PUT /v1/me/password",
        "POST /v1/admin/tenants",
        "GET /v1/admin/tenants",
        `POST ${users}`,
        `GET ${users}`,
        `GET ${users}/{user}/sessions`,
        `DELETE ${users}/{user}/sessions/{session}`,
        ...acts.map((act) => `POST ${users}/{user}/${act}`),
        "POST /v1/admin/tenants/{tenant}/tokens/revoke",
        "POST /v1/admin/tenants/{tenant}/clients/{client}/revoke-all",
        "POST /v1/admin/tenants/{tenant}/revoke-all",
        "POST /v1/admin/clients/{client}/revoke-all",
        "POST /v1/admin/keys/revoke",
        "POST /v1/admin/keys/lift",
        "POST /v1/admin/revoke-all",
        "GET /v1/admin/tenants/{tenant}/audit",
        "GET /v1/admin/nodes",
        "GET /.well-known/jwks.json",
      ].sort(),
    );
  });

  test("tells every code, and asks for `wait_ms` wherever something is revoked", async () => {
    const api = await open();
    const { text, headers } = await api.call("GET", "/openapi.json");
    for (const code of PROBLEM_CODES) expect(text).toContain(`| \`${code}\` |`);
    expect(headers["content-type"]).toMatch(/^application\/json/);
    const revoking = (await operationsOf(api)).filter(({ queryFields }) =>
      queryFields.some(({ name }) => name === "wait_ms"),
    );
    expect(revoking.map(({ name }) => name.split("/").at(-1))).toEqual([
      "logout",
      "{session}",
      "revoke-others",
      "password",
      "{session}",
      "revoke-all",
      "disable",
      "password",
      "revoke",
      ...Array.from({ length: 3 }, () => "revoke-all"),
      "revoke",
      "revoke-all",
    ]);
  });

  test("is shown by pages that load nothing from elsewhere", async () => {
    const api = await open();
    const page = await api.call("GET", "/docs");
    expect(page).toMatchObject({
      status: 200,
      headers: { "x-frame-options": "DENY", "x-content-type-options": "nosniff" },
    });
    expect(page.headers["content-security-policy"]).toMatch(
      /^default-src 'none'; script-src 'self';/,
    );
    const links = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, link]) => link ?? "");
    expect(links.length).toBeGreaterThan(4);
    for (const link of links) {
      expect(link).toMatch(/^\/docs\/static\//);
      expect(await api.call("GET", link)).toMatchObject({ status: 200 });
    }
    const starter = await api.call("GET", "/docs/static/swagger-initializer.js");
    expect(starter.text).toContain('"validatorUrl":null');
    // A comment names a page; nothing is fetched from one.
    expect(starter.text.replace(/\/\/ .*$/gm, "")).not.toMatch(/https?:\/\//);
    const shown = await api.call("GET", "/docs/json");
    expect(shown.json).toEqual((await api.call("GET", "/openapi.json")).json);
    const path = `/docs/static/${inPath("../package.json")}`;
    expect((await api.call("GET", path)).status).toBeGreaterThanOrEqual(400);
  });
});
