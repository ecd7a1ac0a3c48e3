/** What the operators' commands make of answers that are not the session service's. */
import { createServer, type RequestListener, type Server } from "node:http";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

import { askService } from "../../src/cli/sessions-request.js";
import { sekisho } from "../support/sekisho-command.js";

const TOKEN = "hunter2.hunter2.hunter2";
const MEGABYTE = Buffer.alloc(1024 * 1024, " ");

let server: Server;
let answer: RequestListener;
let requests: { readonly url: string | undefined; readonly authorization: string | undefined }[];
let url: string;

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    requests.push({ url: request.url, authorization: request.headers.authorization });
    answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  url = `http://127.0.0.1:${address.port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

const answerWith =
  (status: number, body: string, headers: Record<string, string> = {}): RequestListener =>
  (_, response) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
const ask = () => askService({ url, token: TOKEN }, { method: "GET", path: "/v1/admin/nodes" });

async function refusal(): Promise<string> {
  const said = await ask();
  if (said.ok) throw new Error("it was taken for an answer");
  expect(said.message).not.toContain("hunter2");
  return said.message;
}

test("an answer is handed on with its status, and the token is sent to nobody else", async () => {
  answer = answerWith(202, '{"published":false}');
  expect(await ask()).toEqual({ ok: true, status: 202, body: { published: false } });
  expect(requests).toEqual([{ url: "/v1/admin/nodes", authorization: `Bearer ${TOKEN}` }]);
});

test.each([
  ["a URL with a password in it", (at: string) => at.replace("//", "//me:hunter2@"), TOKEN],
  ["a token of two lines", (at: string) => at, `${TOKEN}\n${TOKEN}`],
])("%s is not sent, and not shown either", async (_what, change, token) => {
  const request = { method: "GET", path: "/v1/admin/nodes" } as const;
  const said = await askService({ url: change(url), token }, request);
  if (said.ok) throw new Error("it was taken for an answer");
  expect(said.message).toMatch(/^SEKISHO_SESSIONS_URL must not contain a name or password/);
  expect(said.message).not.toContain("hunter2");
  expect(requests).toEqual([]);
});

describe("what is not the session service's", () => {
  test.each([
    [200, "<html>welcome</html>"],
    [200, ""],
    [404, "not found"],
    [502, "<html>bad gateway</html>"],
    [500, '{"error":"of another kind"}'],
  ])("a %d that says %j, is told so", async (status, body) => {
    answer = answerWith(status, body);
    expect(await refusal()).toBe(
      `${url} answered ${status}, not as the session service does: is SEKISHO_SESSIONS_URL right?`,
    );
  });

  test("an answer without end is read no further than its bound", async () => {
    let ended: Promise<unknown> = Promise.resolve();
    let sent = 0;
    answer = (_, response) => {
      ended = once(response, "close");
      response.writeHead(200, { "content-type": "application/json" });
      const goOn = (error?: Error | null): void => {
        sent += 1;
        if (!(error instanceof Error || response.destroyed)) response.write(MEGABYTE, goOn);
      };
      goOn();
    };
    expect(await refusal()).toContain("not as the session service does");
    await ended;
    expect(sent).toBeLessThan(50);
  });

  test("a redirect is not followed: it would take the token to somebody else", async () => {
    answer = answerWith(302, "", { location: `${url}/elsewhere` });
    expect(await refusal()).toContain("cannot be reached");
    expect(requests).toHaveLength(1);
  });

  test("a connection that is cut is told with the emergency's way", async () => {
    answer = (_, response) => response.destroy();
    expect(await refusal()).toMatch(/cannot be reached: .*\n.*--break-glass/);
  });
});

describe("a problem", () => {
  test("is told in the service's words", async () => {
    const problem = { code: "request_invalid", title: "Wrong", detail: "wait_ms is too much" };
    answer = answerWith(400, JSON.stringify(problem));
    expect(await refusal()).toBe(
      "the session service answered 400 request_invalid (Wrong: wait_ms is too much)",
    );
  });

  test("of too many acts says when to try again", async () => {
    const body = '{"code":"rate_limited","title":"Too many attempts"}';
    const told = "the session service answered 429 rate_limited (Too many attempts)";
    answer = (_, response) => {
      response.writeHead(429, { "retry-after": "17" }).end(body);
    };
    expect(await refusal()).toBe(`${told}. Nothing was done: try again in 17 s`);
    answer = (_, response) => {
      response.writeHead(429, { "retry-after": "soon" }).end(body);
    };
    expect(await refusal()).toBe(`${told}. Nothing was done: try again in a minute`);
  });

  test("of the token says what to do", async () => {
    answer = answerWith(401, '{"code":"invalid_token"}');
    expect(await refusal()).toBe(
      "the session service answered 401 invalid_token. Log in again and set SEKISHO_SESSIONS_TOKEN to the new access token",
    );
  });
});

describe("the commands", () => {
  const settings = () => ({ SEKISHO_SESSIONS_URL: url, SEKISHO_SESSIONS_TOKEN: TOKEN });
  const user = ["revoke", "user", "--tenant", "a/b", "--user", "é?#"];

  test.each([[["nodes"]], [user]])("%j does not take JSON of another kind", async (args) => {
    answer = answerWith(200, '{"hello":"world"}');
    const { code, out, err } = await sekisho(args, settings());
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("is not understood: is it another version?");
    expect(err).not.toContain("hunter2");
  });

  test("name anybody in the path, whatever the characters", async () => {
    answer = answerWith(200, '{"published":true,"event_ids":["e-1"]}');
    const { code } = await sekisho(user, settings());
    expect(code).toBe(0);
    expect(requests[0]?.url).toBe(
      "/v1/admin/tenants/a%2Fb/users/%C3%A9%3F%23/revoke-all?wait_ms=0",
    );
  });

  test("say so where the nodes' receipt got lost", async () => {
    answer = answerWith(200, '{"published":true,"event_ids":["e-1"]}');
    const { code, out, err } = await sekisho([...user, "--wait", "100"], settings());
    expect([code, out]).toEqual([3, "Ended and published (e-1).\n"]);
    expect(err).toContain("which nodes have applied it is unknown");
  });

  test("do not believe in an end that nothing has come of", async () => {
    answer = answerWith(200, '{"published":true,"acknowledged":true,"event_ids":[]}');
    const { code, out, err } = await sekisho(user, settings());
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("is not understood");
  });
});
