import { createServer } from "node:http";
import type { Server } from "node:http";

import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

import { Client } from "../../../dev/client.js";
import { Traffic, expectEverywhere, expectOnly, firstRefusal } from "../../../dev/demo/observe.js";
import { waitUntil } from "../../../dev/wait-for.js";

/** An Envoy's place taken by a server that gives these answers, the last one for ever. */
let answers: (200 | 503 | string)[];
let asked: (string | undefined)[];
let server: Server;
let client: Client;
const pod = () => ({ name: "node-1", client });

beforeEach(async () => {
  asked = [];
  server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    const answer = (answers.length > 1 ? answers.shift() : answers[0]) ?? 200;
    response.statusCode = typeof answer === "number" ? answer : 401;
    response.setHeader("content-type", "application/problem+json");
    response.end(typeof answer === "number" ? "{}" : JSON.stringify({ code: answer }));
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  client = new Client(`http://127.0.0.1:${address.port}`);
});
afterEach(async () => {
  client.close();
  await new Promise((resolve) => server.close(resolve));
});

describe("waiting for the first refusal", () => {
  test("ends with the moment of the first one, after any number that passed", async () => {
    answers = [200, 200, "session_revoked"];
    const before = performance.now();
    const at = await firstRefusal(pod(), "t", "401 session_revoked");
    expect(asked).toEqual(["Bearer t", "Bearer t", "Bearer t"]);
    expect(at).toBeGreaterThan(before);
    expect(at).toBeLessThanOrEqual(performance.now());
  });

  test("ends with what was seen when a node refuses for another reason", async () => {
    answers = [200, "invalid_token"];
    await expect(firstRefusal(pod(), "t", "401 session_revoked")).rejects.toThrow(
      "node-1 answered 401 invalid_token, not 401 session_revoked",
    );
  });

  test("gives up on a node that never refuses", async () => {
    answers = [200];
    await expect(firstRefusal(pod(), "t", "401 session_revoked")).rejects.toThrow(
      "node-1 still lets it pass after 3000 ms",
    );
  });
});

describe("asking everywhere", () => {
  test("wants the same answer from each", async () => {
    answers = [200];
    expect(await expectEverywhere([pod(), pod()], {}, "200")).toHaveLength(2);
    answers = [503];
    await expect(expectEverywhere([pod()], {}, "200")).rejects.toThrow(
      "node-1 answered 503, not 200",
    );
  });
});

describe("traffic", () => {
  test("goes on until it is ended, and every answer is counted", async () => {
    answers = [200, "session_revoked"];
    const traffic = new Traffic(client, "t");
    await waitUntil(() => asked.length > 4, { what: "requests", timeoutMs: 30_000 });
    const seen = await traffic.end();
    expect(seen.get("200")).toBe(1);
    expect(seen.get("401 session_revoked")).toBe(asked.length - 1);
  });

  test("that got another answer than expected, or none, is not as told", () => {
    const seen = new Map([
      ["200", 7],
      ["503", 1],
    ]);
    expect(expectOnly("node-1", seen, ["200", "503"])).toBe(8);
    expect(() => expectOnly("node-1", seen, ["200"])).toThrow("node-1: 7 × 200, 1 × 503, but");
    expect(() => expectOnly("node-1", new Map(), ["200"])).toThrow("node-1: no answer, but");
  });
});
