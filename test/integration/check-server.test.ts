/**
 * The gRPC server as Envoy meets it. The client reads proto/ with another library than the server,
 * so that a fault in one codec cannot hide in the other.
 */
import { once } from "node:events";
import { existsSync, lstatSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Client, credentials, setLogger, status } from "@grpc/grpc-js";
import type { ClientUnaryCall, handleUnaryCall } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { service as healthService } from "grpc-health-check";
import { z } from "zod";

import { StartedProcess } from "../../dev/child-process.js";
import { repositoryRoot } from "../../dev/repository.js";
import { toCheckResponse } from "../../src/authz/check/check-response.js";
import { CheckConnections } from "../../src/authz/check/check-connections.js";
import { listenForChecks, type CheckServer } from "../../src/authz/check/check-server.js";
import { refuse } from "../../src/authz/check/decide.js";
import type {
  CheckRequest,
  CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import { formatListenAddress, type ListenAddress } from "../../src/runtime/listen-address.js";

const TCP: ListenAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };
/** Far longer than anything here takes. */
const DEADLINE_MS = 30_000;

const methodSchema = z.object({
  path: z.string(),
  requestSerialize: z.custom<(value: object) => Buffer>((value) => typeof value === "function"),
  responseDeserialize: z.custom<(bytes: Buffer) => object>((value) => typeof value === "function"),
});
const loaded = loadSync("envoy/service/auth/v3/external_auth.proto", {
  includeDirs: [join(repositoryRoot(), "proto")],
  keepCase: true,
  enums: String,
});
const { Check } = z
  .object({ Check: methodSchema })
  .parse(loaded["envoy.service.auth.v3.Authorization"]);
const { Check: HealthCheck } = z.object({ Check: methodSchema }).parse(healthService);

const answerSchema = z.object({
  status: z.object({ code: z.number() }),
  denied_response: z.object({ status: z.object({ code: z.string() }), body: z.string() }),
});

const denyAll: handleUnaryCall<CheckRequest, CheckResponse> = (_call, answer) => {
  const decision = refuse("token_missing", false);
  if (decision.kind !== "deny") throw new Error("not a denial");
  answer(null, toCheckResponse(decision, []));
};

// The library complains on standard error of ports that the tests take on purpose.
setLogger({ error: () => undefined });

let folder: string;
const servers: CheckServer[] = [];
const clients: Client[] = [];
const calls: ClientUnaryCall[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sekisho-check-server-"));
});
afterEach(async () => {
  for (const started of calls.splice(0)) started.cancel();
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.drain(0)));
  rmSync(folder, { recursive: true, force: true });
});

const listen = (address: ListenAddress, handler = denyAll): Promise<CheckServer> => {
  const limits = { connectionsMax: 1024, idleMaxMs: DEADLINE_MS, ageMaxMs: Infinity };
  return listenForChecks(
    address,
    handler,
    new CheckConnections(limits, { ended: () => undefined }),
  );
};

async function serve(address = TCP, handler = denyAll): Promise<CheckServer> {
  const server = await listen(address, handler);
  servers.push(server);
  return server;
}

function clientOf({ address }: CheckServer): Client {
  const client = new Client(formatListenAddress(address), credentials.createInsecure());
  clients.push(client);
  return client;
}

type Method = z.infer<typeof methodSchema>;

/** What the server answers, or the code with which the call fails. */
function call(client: Client, method: Method, request: object | Buffer): Promise<unknown> {
  return new Promise((resolve) => {
    const started = client.makeUnaryRequest(
      method.path,
      (value: object | Buffer) => (Buffer.isBuffer(value) ? value : method.requestSerialize(value)),
      method.responseDeserialize,
      request,
      { deadline: Date.now() + DEADLINE_MS },
      (error, response) => resolve(error === null ? response : error.code),
    );
    calls.push(started);
  });
}

const REQUEST = { attributes: { request: { http: { method: "GET", headers: { a: "b" } } } } };
const check = (client: Client, request: object | Buffer = REQUEST) => call(client, Check, request);

async function expectDenied(client: Client): Promise<void> {
  const { status: rpc, denied_response: denied } = answerSchema.parse(await check(client));
  expect(rpc.code).toBe(status.UNAUTHENTICATED);
  expect(denied.status.code).toBe("Unauthorized");
  expect(denied.body).toContain('"code":"token_missing"');
}

describe("the check server", () => {
  test("answers on TCP, on a port that it tells", async () => {
    const server = await serve();
    if (server.address.kind !== "tcp") throw new Error("not TCP");
    expect(server.address.port).toBeGreaterThan(0);
    await expectDenied(clientOf(server));
  });

  test("answers on a Unix socket", async () => {
    const path = join(folder, "check.sock");
    await expectDenied(clientOf(await serve({ kind: "unix", path })));
    expect(lstatSync(path).isSocket()).toBe(true);
  });

  test("rejects where the port is taken", async () => {
    const { address } = await serve();
    await expect(listen(address)).rejects.toThrow(/EADDRINUSE|No address added/);
  });

  test("gives the handler what was sent", async () => {
    const seen: CheckRequest[] = [];
    const server = await serve(TCP, (received, answer) => {
      seen.push(received.request);
      denyAll(received, answer);
    });
    const headerMap = { headers: [{ key: "authorization", raw_value: Buffer.from([0xff, 0x41]) }] };
    await check(clientOf(server), {
      attributes: {
        request: { http: { headers: { h: "v" }, header_map: headerMap } },
        context_extensions: { "sekisho.auth": "public" },
      },
    });
    const attributes = seen[0]?.attributes;
    expect(attributes?.contextExtensions).toEqual({ "sekisho.auth": "public" });
    expect(attributes?.request?.http?.headers).toEqual({ h: "v" });
    const [header] = attributes?.request?.http?.headerMap?.headers ?? [];
    expect([header?.key, ...(header?.rawValue ?? [])]).toEqual(["authorization", 0xff, 0x41]);
  });
});

describe("a Unix socket that is there already", () => {
  test("is replaced where its process was killed", async () => {
    const path = join(folder, "check.sock");
    const code = `require("net").createServer().listen(${JSON.stringify(path)}, () => console.log("up"))`;
    const holder = new StartedProcess({
      name: "holder",
      file: process.execPath,
      args: ["-e", code],
    });
    await holder.waitForLine((line) => line === "up" || undefined, {
      what: "it listened",
      timeoutMs: DEADLINE_MS,
    });
    await holder.kill();
    expect(existsSync(path)).toBe(true);
    await expectDenied(clientOf(await serve({ kind: "unix", path })));
  });

  test("is left to the live process that it belongs to", async () => {
    const path = join(folder, "check.sock");
    const first = await serve({ kind: "unix", path });
    await expect(listen({ kind: "unix", path })).rejects.toThrow();
    await expectDenied(clientOf(first));
  });

  test("is left to a live process that has no room for another connection", async () => {
    const path = join(folder, "check.sock");
    const code = `
      const server = require("net").createServer();
      server.listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log("up"));`;
    const holder = new StartedProcess({
      name: "holder",
      file: process.execPath,
      args: ["-e", code],
    });
    await holder.waitForLine((line) => line === "up" || undefined, {
      what: "it listened",
      timeoutMs: DEADLINE_MS,
    });
    holder.pause();
    const waiting = Array.from({ length: 8 }, () => connect(path).on("error", () => undefined));
    try {
      await expect(listen({ kind: "unix", path })).rejects.toThrow();
      expect(existsSync(path)).toBe(true);
    } finally {
      for (const socket of waiting) socket.destroy();
      await holder.kill();
    }
  });

  test("is left alone where it is no socket at all", async () => {
    const path = join(folder, "check.sock");
    writeFileSync(path, "precious");
    await expect(listen({ kind: "unix", path })).rejects.toThrow();
    expect(lstatSync(path).size).toBe("precious".length);
  });
});

describe("health", () => {
  const healthSchema = z.object({ status: z.string() });
  const ask = async (client: Client, service: string) => {
    const answer = await call(client, HealthCheck, { service });
    return typeof answer === "number" ? answer : healthSchema.parse(answer).status;
  };

  test.each(["", "envoy.service.auth.v3.Authorization"])(
    "of the service %j follows what it is told",
    async (service) => {
      const server = await serve();
      const client = clientOf(server);
      expect(await ask(client, service)).toBe("NOT_SERVING");
      server.setServing(true);
      expect(await ask(client, service)).toBe("SERVING");
      server.setServing(false);
      expect(await ask(client, service)).toBe("NOT_SERVING");
    },
  );

  test("of a service that there is not is NOT_FOUND", async () => {
    expect(await ask(clientOf(await serve()), "other")).toBe(status.NOT_FOUND);
  });
});

describe("draining", () => {
  /** Holds every answer back until the test says so. */
  async function serveHeld() {
    const held: (() => void)[] = [];
    const server = await serve(TCP, (received, answer) => {
      held.push(() => denyAll(received, answer));
    });
    const client = clientOf(server);
    const pending = check(client);
    while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
    return { server, client, pending, release: () => held.forEach((one) => one()) };
  }

  test("finishes what is in flight and takes nothing new", async () => {
    const { server, pending, release } = await serveHeld();
    const drained = server.drain(DEADLINE_MS);
    const late = clientOf(server);
    expect(await check(late)).toBe(status.UNAVAILABLE);
    release();
    expect(answerSchema.parse(await pending).status.code).toBe(status.UNAUTHENTICATED);
    await drained;
  });

  test("waits no longer than it is told to", async () => {
    const { server } = await serveHeld();
    const startedMs = performance.now();
    // Timers fire in the order in which they are due, however late that is.
    let dueBefore = false;
    const timer = setTimeout(() => (dueBefore = true), 40);
    try {
      await server.drain(50);
      expect(dueBefore).toBe(true);
      expect(performance.now() - startedMs).toBeLessThan(DEADLINE_MS / 2);
    } finally {
      clearTimeout(timer);
    }
  });
});

describe("what no Envoy sends", () => {
  const withHeaderOf = (bytes: number) => ({
    attributes: { request: { http: { headers: { a: "x".repeat(bytes) } } } },
  });

  test("is answered up to 128 KiB, refused beyond, and does no harm", async () => {
    const client = clientOf(await serve());
    expect(answerSchema.parse(await check(client, withHeaderOf(127 * 1024))).status.code).toBe(16);
    expect(await check(client, withHeaderOf(129 * 1024))).toBe(status.RESOURCE_EXHAUSTED);
    await expectDenied(client);
  });

  test.each([
    ["bytes that are no message", Buffer.from([0xff, 0xff, 0xff, 0xff])],
    ["a message cut off", Buffer.from([0x0a, 0x7f, 0x01])],
    ["a length beyond the end", Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
  ])("as %s fails that call alone", async (_what, bytes) => {
    const client = clientOf(await serve());
    expect(await check(client, bytes)).toEqual(expect.any(Number));
    await expectDenied(client);
  });

  test("as an empty message still gets an explicit answer", async () => {
    const answer = answerSchema.parse(await check(clientOf(await serve()), Buffer.alloc(0)));
    expect(answer.status.code).toBe(status.UNAUTHENTICATED);
  });

  test("as bytes that are not HTTP/2 closes that connection alone", async () => {
    const server = await serve();
    if (server.address.kind !== "tcp") throw new Error("not TCP");
    const socket = connect(server.address.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.resume();
    socket.end("GET / HTTP/1.1\r\nhost: x\r\n\r\n\u0000\u0001");
    await once(socket, "close");
    await expectDenied(clientOf(server));
  });

  test("as HTTP/2 that is not gRPC is refused", async () => {
    const server = await serve();
    const session = connectHttp2(`http://${formatListenAddress(server.address)}`);
    try {
      const stream = session.request({ ":method": "GET", ":path": "/" });
      const answered = new Promise((resolve) => {
        stream.once("response", (headers) => resolve(headers[":status"]));
      });
      expect(await answered).toBe(415);
      stream.close();
    } finally {
      session.close();
    }
    await expectDenied(clientOf(server));
  });

  test("as a method that there is not is UNIMPLEMENTED", async () => {
    const client = clientOf(await serve());
    const other = { ...Check, path: "/envoy.service.auth.v3.Authorization/Other" };
    expect(await call(client, other, REQUEST)).toBe(status.UNIMPLEMENTED);
  });
});
