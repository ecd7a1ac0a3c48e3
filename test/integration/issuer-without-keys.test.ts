/** A sidecar that trusts several issuers, of which one has no keys. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { Client, credentials } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { stringify } from "yaml";
import { z } from "zod";

import { repositoryRoot } from "../../dev/repository.js";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock, type Clock } from "../../src/runtime/clock.js";
import { readAuthzConfig } from "../../src/authz/authz-config.js";
import { formatListenAddress } from "../../src/runtime/listen-address.js";
import { startAuthz, type RunningAuthz } from "../../src/authz/authz.js";
import { initLog } from "../support/following.js";
import { TokenIssuer } from "../support/token-issuer.js";
import { captureLog } from "../unit/runtime/captured-log.js";

const DEADLINE_MS = 30_000;
const AWAITED_MS = 30_000;

const loaded = loadSync("envoy/service/auth/v3/external_auth.proto", {
  includeDirs: [join(repositoryRoot(), "proto")],
  keepCase: true,
});
const { Check } = z
  .object({
    Check: z.object({
      path: z.string(),
      requestSerialize: z.custom<(value: object) => Buffer>((value) => typeof value === "function"),
      responseDeserialize: z.custom<(bytes: Buffer) => object>(
        (value) => typeof value === "function",
      ),
    }),
  })
  .parse(loaded["envoy.service.auth.v3.Authorization"]);
const answerSchema = z.object({
  denied_response: z.object({ body: z.string() }).nullish(),
});

/** The system's; a test lets the monotonic time pass at once, by which the wait is counted. */
class AheadClock implements Clock {
  #aheadMs = 0;
  wallMs(): number {
    return systemClock.wallMs();
  }
  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }
  advance(ms: number): void {
    this.#aheadMs += ms;
  }
}

let folder: string;
let redis: RedisServer;
let clock: AheadClock;
let captured: ReturnType<typeof captureLog>;
let running: RunningAuthz | undefined;

const good = new TokenIssuer({ issuer: "https://good.example", audience: "api" });
const bad = new TokenIssuer({ issuer: "https://bad.example", audience: "api" });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-issuers-"));
  redis = await RedisServer.start();
  await initLog(redis.url);
});
afterAll(async () => {
  await redis.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  clock = new AheadClock();
  captured = captureLog();
  await writeFile(fileOf("good"), JSON.stringify(good.jwks()));
  await writeFile(fileOf("bad"), '{"keys":[]}');
});
afterEach(async () => {
  await running?.close();
  running = undefined;
});

const fileOf = (name: string): string => join(folder, `${name}.json`);

async function start(names: readonly string[]): Promise<RunningAuthz> {
  const issuers = names.map((name) => ({
    issuer: `https://${name}.example`,
    audience: "api",
    jwks_file: fileOf(name),
    tenants: [`${name}-tenant`],
  }));
  const path = join(folder, "issuers.yaml");
  await writeFile(path, stringify({ issuers }));
  const settings = {
    SEKISHO_LISTEN: "127.0.0.1:0",
    SEKISHO_OPS_LISTEN: "127.0.0.1:0",
    SEKISHO_REDIS_URL: redis.url,
    SEKISHO_CONFIG: path,
  };
  running = await startAuthz(readAuthzConfig(settings, []), captured.log, clock);
  return running;
}

async function readiness({ ops }: RunningAuthz): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://${formatListenAddress(ops)}/readyz`);
  return { status: response.status, body: await response.text() };
}

const until = (node: RunningAuthz, status: number) =>
  waitUntil(async () => (await readiness(node)).status === status, {
    what: `/readyz to answer ${status}`,
    timeoutMs: DEADLINE_MS,
  });

/** Whether it is not the log that keeps it from being ready. */
const untilFollowing = (node: RunningAuthz) =>
  waitUntil(async () => /"revocations": \{\s+"status": "ok"/.test((await readiness(node)).body), {
    what: "the log to be read",
    timeoutMs: DEADLINE_MS,
  });

async function answerTo({ listen }: RunningAuthz, token: string): Promise<string> {
  const client = new Client(formatListenAddress(listen), credentials.createInsecure());
  const headers = { authorization: `Bearer ${token}` };
  const request = { attributes: { request: { http: { headers } } } };
  try {
    const answer = await new Promise<object | undefined>((resolve, reject) => {
      client.makeUnaryRequest(
        Check.path,
        Check.requestSerialize,
        Check.responseDeserialize,
        request,
        { deadline: Date.now() + DEADLINE_MS },
        (error, response) => (error === null ? resolve(response) : reject(error)),
      );
    });
    return answerSchema.parse(answer).denied_response?.body ?? "allowed";
  } finally {
    client.close();
  }
}

const tokenOf = (issuer: TokenIssuer, name: string) => issuer.mint({ tenant_id: `${name}-tenant` });

describe("a node of two issuers, of which one has no keys", () => {
  test("is not ready at once, and says whose keys it lacks and why", async () => {
    const node = await start(["good", "bad"]);
    await untilFollowing(node);
    clock.advance(AWAITED_MS - 5000);
    const { status, body } = await readiness(node);
    expect(status).toBe(503);
    expect(body).toMatch(/"keys": \{\s+"status": "failed",\s+"detail": "https:\/\/bad\.example: /);
    expect(captured.lines.some((line) => line.includes('"msg":"ready"'))).toBe(false);
  });

  test("is ready after half a minute, with keys_unavailable for the other's tokens", async () => {
    const node = await start(["good", "bad"]);
    await untilFollowing(node);
    clock.advance(AWAITED_MS);
    await until(node, 200);
    await waitUntil(() => captured.lines.some((line) => line.includes('"msg":"ready"')), {
      what: "the line",
      timeoutMs: DEADLINE_MS,
    });
    const told = captured.lines.filter((line) => line.includes("ready without the keys"));
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(
      /"level":40.*"issuer":"https:\/\/bad\.example","problem":"the key set /,
    );
    const { body } = await readiness(node);
    expect(body).toMatch(
      /"keys": \{\s+"status": "degraded",\s+"detail": "https:\/\/bad\.example: /,
    );
    // The clock went on at once, and the log has to be read again.
    await untilFollowing(node);
    expect(await answerTo(node, tokenOf(good, "good"))).toBe("allowed");
    expect(await answerTo(node, tokenOf(bad, "bad"))).toContain("keys_unavailable");
  });

  test("lets the other's tokens pass as soon as there are keys", async () => {
    const node = await start(["good", "bad"]);
    await untilFollowing(node);
    clock.advance(AWAITED_MS);
    await until(node, 200);
    await writeFile(fileOf("bad"), JSON.stringify(bad.jwks()));
    await waitUntil(async () => (await answerTo(node, tokenOf(bad, "bad"))) === "allowed", {
      what: "the token to pass",
      timeoutMs: 60_000,
      everyMs: 100,
    });
  });
});

test("a node without any keys does not become ready", async () => {
  const node = await start(["bad", "worse"]);
  await untilFollowing(node);
  clock.advance(10 * AWAITED_MS);
  await untilFollowing(node);
  expect((await readiness(node)).status).toBe(503);
});
