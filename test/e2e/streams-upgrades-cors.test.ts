/** What needs a route of its own in envoy.yaml: streams, WebSockets, and pages of another origin. */
import { request as sendRequest, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { EnvoyProcess } from "../../dev/envoy-process.js";
import { waitUntil } from "../../dev/wait-for.js";
import { describeReply, HttpClient } from "../support/e2e-http.js";
import { E2eDeployment } from "../support/e2e-deployment.js";
import { endOf } from "../support/following.js";
import { StreamingApi } from "../support/streaming-api.js";

const ann = { tenant: "acme", user: "ann", session: "laptop" };
const WAIT_MS = 60_000;
const ORIGIN = "https://app.example.com";

let deployment: E2eDeployment;
let api: StreamingApi;
let envoy: EnvoyProcess;
let client: HttpClient;
let token: string;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  token = deployment.token(ann);
  api = await deployment.keep(StreamingApi.start(), (started) => started.close());
  const node = await deployment.addNode("node-1");
  const config = await deployment.changedEnvoyConfig(
    "shorter",
    // In place of the 15 s that a route has where it says nothing.
    [/(- name: required\n +match: .*\n +route: \{ cluster: api)/, "$1, timeout: 1s"],
    [/ idle_timeout: 60s$/gm, " idle_timeout: 5s"],
    [/max_stream_duration: 900s/g, "max_stream_duration: 12s"],
  );
  envoy = await deployment.keep(
    EnvoyProcess.start({ api: { port: api.port }, sekisho: node.address, config }),
    (started) => started.close(),
  );
  client = new HttpClient(envoy.url);
  await deployment.keep(Promise.resolve(client), (made) => made.close());
  await node.waitReady();
  await waitUntil(async () => (await client.getOnce("/things", { token })).status === 200, {
    what: "the node to allow",
    timeoutMs: WAIT_MS,
  });
});
afterAll(() => deployment.close());

describe("a response that does not end", () => {
  it("is cut on an ordinary route, and goes on where the route says so", async () => {
    const ordinary = await Stream.open("/things/ticking");
    const stream = await Stream.open("/events/ticking");
    await ordinary.untilCut();
    const before = stream.events;
    await stream.untilEvents(before + 20);
    expect([ordinary.status, stream.status]).toEqual([200, 200]);
    expect(await ordinary.detailsOf()).toBe("response_timeout");
    stream.close();
  });

  it("is cut where it is silent for too long", async () => {
    const stream = await Stream.open("/events/silent");
    await stream.untilCut();
    expect(await stream.detailsOf()).toBe("stream_idle_timeout");
  });

  it("outlives the revocation of its token, and is cut after its longest duration", async () => {
    const session = "phone";
    const own = deployment.token({ ...ann, session });
    const stream = await Stream.open("/events/ticking", own);
    await deployment.revoke(endOf(session));
    const refused = async () => {
      const reply = await client.getOnce("/events/ticking", { token: own });
      return describeReply(reply) === "401 session_revoked";
    };
    await waitUntil(refused, { what: "the token to be refused", timeoutMs: WAIT_MS });
    await stream.untilEvents(stream.events + 1);
    await stream.untilCut();
    expect(await stream.detailsOf()).toBe("max_duration_timeout");
  });

  it("does not begin without a token", async () => {
    const before = api.arrived.length;
    expect(await client.seen("/events/ticking")).toBe("401 token_missing");
    expect(api.arrived).toHaveLength(before);
  });
});

describe("a WebSocket", () => {
  it("is opened with a token, echoes, and tells the API who is calling", async () => {
    const said = await upgrade("/socket/chat", token, "hello");
    expect(said).toMatch(/^HTTP\/1\.1 101 /);
    expect(said).toMatch(/hello$/);
    expect(api.arrived.at(-1)).toMatchObject({
      "x-auth-tenant-id": "acme",
      "x-auth-user-id": "ann",
      "x-auth-session-id": "laptop",
      upgrade: "websocket",
    });
  });

  it.each([
    ["without a token", "/socket/chat", () => undefined, /^HTTP\/1\.1 401 .*token_missing/s],
    ["with a bad one", "/socket/chat", () => "bad", /^HTTP\/1\.1 401 .*invalid_token/s],
    ["on a route that does not say so", "/things", () => token, /^HTTP\/1\.1 403 /],
    ["on a route for streams", "/events", () => token, /^HTTP\/1\.1 403 /],
  ])("is not opened %s", async (_, path, withToken, expected) => {
    const before = api.arrived.length;
    expect(await upgrade(path, withToken(), "hello")).toMatch(expected);
    expect(api.arrived).toHaveLength(before);
  });
});

describe("a page of another origin", () => {
  const preflight = (path: string, origin = ORIGIN) =>
    ask("OPTIONS", path, {
      origin,
      "access-control-request-method": "PUT",
      "access-control-request-headers": "authorization",
      "x-auth-user-id": "root",
    });

  it("gets its preflight answered without a token, and the API does not see it", async () => {
    const before = api.arrived.length;
    const { statusCode, headers } = await preflight("/browser/things");
    expect(statusCode).toBe(200);
    expect(headers).toMatchObject({
      "access-control-allow-origin": ORIGIN,
      "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
      "access-control-allow-headers": "authorization, content-type",
      "access-control-max-age": "600",
    });
    expect(headers["access-control-allow-credentials"]).toBeUndefined();
    expect(api.arrived).toHaveLength(before);
  });

  it.each([
    ["of an origin that is not named", "/browser/things", "https://evil.example.com"],
    ["on a route that does not say so", "/things", ORIGIN],
  ])("gets a preflight refused %s", async (_, path, origin) => {
    const before = api.arrived.length;
    const { statusCode, headers } = await preflight(path, origin);
    expect(statusCode).toBe(401);
    expect(headers["access-control-allow-origin"]).toBeUndefined();
    expect(api.arrived).toHaveLength(before);
  });

  it("can read what it is answered, a refusal too", async () => {
    const allowed = await ask("GET", "/browser/things", { origin: ORIGIN, ...bearer(token) });
    const refused = await ask("GET", "/browser/things", { origin: ORIGIN });
    expect([allowed.statusCode, refused.statusCode]).toEqual([200, 401]);
    expect(refused.headers["www-authenticate"]).toMatch(/^Bearer/);
    for (const { headers } of [allowed, refused]) {
      expect(headers).toMatchObject({
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "www-authenticate, x-request-id",
        vary: "origin",
      });
    }
    const other = { origin: "https://evil.example.com", ...bearer(token) };
    const unreadable = await ask("GET", "/browser/things", other);
    expect(unreadable.headers["access-control-allow-origin"]).toBeUndefined();
  });
});

const bearer = (own: string) => ({ authorization: `Bearer ${own}` });

/** Answers with the response's head; what it says beside that is dropped. */
async function ask(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    sendRequest(new URL(path, envoy.url), { method, headers, agent: false })
      .once("response", resolve)
      .once("error", reject)
      .end();
  });
  response.on("error", () => undefined);
  return response;
}

/** Asks for an upgrade, sends this text when it is opened, and returns all that came back. */
async function upgrade(path: string, own: string | undefined, text: string): Promise<string> {
  const { hostname, port } = new URL(envoy.url);
  const lines = [
    ...[`GET ${path} HTTP/1.1`, "host: api", "connection: upgrade", "upgrade: websocket"],
    ...["sec-websocket-version: 13", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="],
    ...(own === undefined ? [] : [`authorization: Bearer ${own}`]),
    ...["x-auth-user-id: root", "", ""],
  ];
  const socket = connect({ host: hostname, port: Number(port) });
  let said = "";
  socket.on("error", () => undefined);
  socket.on("data", (data) => {
    if (said === "" && data.toString("latin1").startsWith("HTTP/1.1 101 ")) socket.write(text);
    said += data.toString("latin1");
  });
  socket.write(lines.join("\r\n"));
  const over = () => said.endsWith(text) || /^HTTP\/1\.1 4\d\d .*\r\n\r\n/s.test(said);
  try {
    await waitUntil(over, { what: "an answer to the upgrade", timeoutMs: WAIT_MS });
  } finally {
    socket.destroy();
  }
  return said;
}

class Stream {
  readonly status: number | undefined;
  readonly #response: IncomingMessage;
  events = 0;
  #over = false;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode;
    response.on("data", () => (this.events += 1));
    response.once("close", () => (this.#over = true));
  }

  static async open(path: string, own = token): Promise<Stream> {
    return new Stream(await ask("GET", path, bearer(own)));
  }

  async untilEvents(count: number): Promise<void> {
    await waitUntil(
      () => {
        if (this.#over) throw new Error(`cut after ${this.events} events`);
        return this.events >= count;
      },
      { what: `${count} events`, timeoutMs: WAIT_MS },
    );
  }

  async untilCut(): Promise<void> {
    await waitUntil(() => this.#over, { what: "the stream to be cut", timeoutMs: WAIT_MS });
  }

  /** Why Envoy ended it. */
  async detailsOf(): Promise<unknown> {
    const entry = await envoy.accessLogOf(String(this.#response.headers["x-request-id"]));
    return entry["details"];
  }

  close(): void {
    this.#response.destroy();
  }
}
