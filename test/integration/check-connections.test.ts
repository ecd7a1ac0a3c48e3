/** What other clients than Envoy do to the gRPC port, frame by frame, and who yields. */
import { constants } from "node:http2";
import { afterEach, describe, expect, test } from "@jest/globals";
import { Client, credentials, type handleUnaryCall } from "@grpc/grpc-js";
import { CheckConnections } from "../../src/authz/check/check-connections.js";
import { toCheckResponse } from "../../src/authz/check/check-response.js";
import { listenForChecks, type CheckServer } from "../../src/authz/check/check-server.js";
import type { ConnectionLimits, EndCause } from "../../src/authz/check/connection-limits.js";
import { refuse } from "../../src/authz/check/decide.js";
import { waitFor } from "../../dev/wait-for.js";
import {
  AuthorizationService,
  type CheckRequest,
  type CheckResponse,
} from "../../src/generated/envoy/service/auth/v3/external_auth.js";
import {
  CHECK_HEADERS,
  checkFrames,
  checkMessage,
  field,
  FLAG,
  FRAME,
  frame,
  RawHttp2,
  resetFrame,
  type Frame,
} from "../support/raw-http2.js";

type Handler = handleUnaryCall<CheckRequest, CheckResponse>;

const TEST_MS = 60_000;
const HTTP = {
  id: "1",
  method: "GET",
  path: "/",
  host: "h",
  scheme: "http",
  protocol: "h2",
  headerMap: undefined,
};
const NO_LIMITS: ConnectionLimits = {
  connectionsMax: 10_000,
  idleMaxMs: Infinity,
  ageMaxMs: Infinity,
};

const denyAll: Handler = (_call, answer) => {
  const decision = refuse("token_missing", false);
  if (decision.kind !== "deny") throw new Error("not a denial");
  answer(null, toCheckResponse(decision, []));
};

const clients: RawHttp2[] = [];
const servers: CheckServer[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.drain(0)));
});

async function serve(limits: Partial<ConnectionLimits> = {}, handler = denyAll) {
  const ended: EndCause[] = [];
  const connections = new CheckConnections(
    { ...NO_LIMITS, ...limits },
    { ended: (cause) => ended.push(cause) },
  );
  const address = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
  const server = await listenForChecks(address, handler, connections);
  servers.push(server);
  if (server.address.kind !== "tcp") throw new Error("not TCP");
  return { port: server.address.port, connections, ended };
}

async function keep(opening: Promise<RawHttp2>): Promise<RawHttp2> {
  const client = await opening;
  clients.push(client);
  return client;
}
const open = (port: number) => keep(RawHttp2.open(port));
const silent = (port: number) => keep(RawHttp2.silent(port));

const answerTo = (stream: number) => (one: Frame) =>
  one.stream === stream && one.type === FRAME.headers && (one.flags & FLAG.endStream) !== 0;
const resetOf = (stream: number) => (one: Frame) =>
  one.stream === stream && one.type === FRAME.rstStream;
const isGoaway = (one: Frame) => one.type === FRAME.goaway;
const goawayCode = ({ payload }: Frame) => payload.readUInt32BE(4);

async function expectAnswered(client: RawHttp2, stream: number): Promise<void> {
  client.send(checkFrames(stream));
  expect(await client.waitFor(answerTo(stream))).toBeDefined();
}

/** Until the server holds no socket of these any more, whatever their clients do. */
async function untilGone({ connections }: { connections: CheckConnections }): Promise<void> {
  await waitFor(() => connections.count === 0 || undefined, {
    what: "every socket to be destroyed",
    timeoutMs: TEST_MS,
  });
}

describe("a connection", () => {
  test("that says nothing is ended, and its socket destroyed", async () => {
    const server = await serve();
    await silent(server.port);
    await waitFor(() => server.connections.count === 1 || undefined, {
      what: "the connection to be seen",
      timeoutMs: TEST_MS,
    });
    await untilGone(server);
    expect(server.ended).toEqual(["silent"]);
  });

  test("that carries no request is told so, and its socket is destroyed though its client holds it", async () => {
    const server = await serve({ idleMaxMs: 500 });
    const client = await open(server.port);
    await expectAnswered(client, 1);
    expect(goawayCode(await client.waitFor(isGoaway))).toBe(constants.NGHTTP2_NO_ERROR);
    await untilGone(server);
    expect(server.ended).toEqual(["idle"]);
  });

  test("that has aged answers what is open before it ends", async () => {
    const held: (() => void)[] = [];
    const server = await serve({ ageMaxMs: 500 }, (call, answer) => {
      held.push(() => denyAll(call, answer));
    });
    const client = await open(server.port);
    client.send(checkFrames(1));
    expect(goawayCode(await client.waitFor(isGoaway))).toBe(constants.NGHTTP2_NO_ERROR);
    for (const release of held) release();
    expect(await client.waitFor(answerTo(1))).toBeDefined();
    await untilGone(server);
    expect(server.ended).toEqual(["aged"]);
  });

  test("that sends frames without requests is ended", async () => {
    const server = await serve();
    const client = await open(server.port);
    const priority = frame(FRAME.priority, FLAG.none, 1, Buffer.from([0, 0, 0, 0, 16]));
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => priority));
    let over = false;
    void client.ended.then(() => (over = true));
    await waitFor(
      () => {
        if (client.socket.writableLength < flood.length) client.send(flood, flood, flood, flood);
        return over || undefined;
      },
      { what: "the flood to be ended", timeoutMs: TEST_MS },
    );
    await untilGone(server);
    expect(server.ended).toEqual(["flooding"]);
  });

  test("whose client takes back many requests ends with an answer to the others", async () => {
    const held: (() => void)[] = [];
    const server = await serve({}, (call, answer) => {
      held.push(() => denyAll(call, answer));
    });
    const client = await open(server.port);
    const others = Array.from({ length: 20 }, (_, index) => 2 * index + 1);
    client.send(...others.map((stream) => checkFrames(stream)));
    await waitFor(() => held.length >= others.length || undefined, {
      what: "the checks to arrive",
      timeoutMs: TEST_MS,
    });
    const takenBack = Array.from({ length: 1200 }, (_, index) => 2 * (others.length + index) + 1);
    client.send(...takenBack.flatMap((stream) => [checkFrames(stream), resetFrame(stream)]));
    expect(goawayCode(await client.waitFor(isGoaway))).toBe(constants.NGHTTP2_NO_ERROR);
    for (const release of held) release();
    for (const stream of others) expect(await client.waitFor(answerTo(stream))).toBeDefined();
    await untilGone(server);
    expect(server.ended).toEqual(["resetting"]);
  });
});

describe("a request", () => {
  test.each([
    ["NO_ERROR", constants.NGHTTP2_NO_ERROR],
    ["INTERNAL_ERROR", constants.NGHTTP2_INTERNAL_ERROR],
    ["CANCEL", constants.NGHTTP2_CANCEL],
    ["an unknown code", 0xffff],
  ])("that is reset with %s before its turn does no harm", async (_what, code) => {
    let begun = 0;
    const server = await serve({}, (call, answer) => {
      begun += 1;
      denyAll(call, answer);
    });
    const client = await open(server.port);
    const streams = Array.from({ length: 200 }, (_, index) => 2 * index + 1);
    client.send(...streams.flatMap((stream) => [checkFrames(stream), resetFrame(stream, code)]));
    await expectAnswered(client, 401);
    expect(begun).toBeLessThan(streams.length);
    expect(server.ended).toEqual([]);
  });

  test.each([
    ["headers without a message", Buffer.alloc(0)],
    ["half of its message", checkMessage().subarray(0, 7)],
  ])("of which %s came is cancelled, and the connection goes on", async (_what, part) => {
    const server = await serve();
    const client = await open(server.port);
    client.send(
      frame(FRAME.headers, FLAG.endHeaders, 1, CHECK_HEADERS),
      frame(FRAME.data, FLAG.none, 1, part),
    );
    const { payload } = await client.waitFor(resetOf(1));
    expect(payload.readUInt32BE(0)).toBe(constants.NGHTTP2_CANCEL);
    await expectAnswered(client, 3);
    expect(server.ended).toEqual([]);
  });

  test("with more than 16 KiB of headers is refused, and the connection goes on", async () => {
    const client = await open((await serve()).port);
    // The limit is the server's setting, which binds a client that has acknowledged it.
    await client.waitFor(({ type, flags }) => type === FRAME.settings && flags !== FLAG.ack);
    client.send(
      frame(FRAME.settings, FLAG.ack, 0),
      frame(FRAME.headers, FLAG.none, 1, CHECK_HEADERS),
      frame(FRAME.continuation, FLAG.none, 1, field("x-a", "x".repeat(8_000))),
      frame(FRAME.continuation, FLAG.endHeaders, 1, field("x-b", "x".repeat(9_000))),
    );
    const { payload } = await client.waitFor(resetOf(1));
    expect(payload.readUInt32BE(0)).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await expectAnswered(client, 3);
  });
});

describe("a client that behaves", () => {
  test("is answered on its connection and on a new one, however many others are silent", async () => {
    const server = await serve({ connectionsMax: 20 });
    const client = await open(server.port);
    await expectAnswered(client, 1);
    for (let round = 0; round < 10; round += 1) {
      await Promise.all(Array.from({ length: 30 }, () => silent(server.port)));
      await Promise.all(Array.from({ length: 30 }, () => open(server.port)));
      await expectAnswered(client, 2 * round + 3);
      await expectAnswered(await open(server.port), 1);
    }
    expect(new Set(server.ended)).toEqual(new Set(["yielding"]));
    await waitFor(() => server.connections.count <= 20 || undefined, {
      what: "the sockets of those that yielded to be destroyed",
      timeoutMs: TEST_MS,
    });
  });

  test("is answered on one connection, however many of its requests wait for the window", async () => {
    const server = await serve();
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const headers = { authorization: `Bearer ${"x".repeat(2_000)}` };
    const { path, requestSerialize, responseDeserialize } = AuthorizationService.check;
    const check = () =>
      new Promise((resolve) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          { attributes: { request: { http: { ...HTTP, headers } }, contextExtensions: {} } },
          (error) => resolve(error?.message ?? "answered"),
        );
      });
    const answers = await Promise.all(Array.from({ length: 1_000 }, check));
    client.close();
    expect(new Set(answers)).toEqual(new Set(["answered"]));
    expect(server.ended).toEqual([]);
  });

  test("does not wait for a thousand requests of another connection", async () => {
    const begun: string[] = [];
    const server = await serve({}, (call, answer) => {
      const host = call.request.attributes?.request?.http?.host ?? "";
      if (begun.push(host) === 1) client.send(checkFrames(1, checkMessage({}, "one")));
      denyAll(call, answer);
    });
    const client = await open(server.port);
    const other = await open(server.port);
    const streams = Array.from({ length: 1_000 }, (_, index) => 2 * index + 1);
    other.send(...streams.map((stream) => checkFrames(stream, checkMessage({}, "many"))));
    expect(await client.waitFor(answerTo(1))).toBeDefined();
    await waitFor(() => begun.length > streams.length || undefined, {
      what: "every check to be begun",
      timeoutMs: TEST_MS,
    });
    expect(begun.indexOf("one")).toBeLessThan(500);
  });

  test("is answered however many requests of others are begun and not finished", async () => {
    const server = await serve();
    const client = await open(server.port);
    await expectAnswered(client, 1);
    const begun = Array.from({ length: 100 }, (_, index) =>
      frame(FRAME.headers, FLAG.endHeaders, 2 * index + 1, CHECK_HEADERS),
    );
    for (let round = 0; round < 10; round += 1) {
      const others = await Promise.all(Array.from({ length: 10 }, () => open(server.port)));
      for (const other of others) other.send(...begun);
      await expectAnswered(client, 2 * round + 3);
    }
    // Each round begins twice as many as may be open.
    await waitFor(() => server.ended.length > 0 || undefined, {
      what: "connections to be ended",
      timeoutMs: TEST_MS,
    });
    expect(new Set(server.ended)).toEqual(new Set(["unfinished"]));
  });
});
