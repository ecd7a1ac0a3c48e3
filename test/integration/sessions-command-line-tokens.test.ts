/** `sekisho revoke token|client|tenant|key|all` with a running session service and nodes. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import {
  OPERATORS,
  PASSWORD,
  RunningSessions,
  type LoggedIn,
} from "../support/sessions-deployment.js";
import type { Pod } from "../support/e2e-deployment.js";
import { sekisho, type Ended } from "../support/sekisho-command.js";
import { thumbprintOf, type JsonMembers } from "../support/token-issuer.js";
import { waitUntil } from "../../dev/wait-for.js";

const PATH = "/things";
const UNTIL_MS = 30_000;

let running: RunningSessions;
/** Accepts the service's tokens. */
let pod: Pod;
/** Accepts those of an outside issuer, which have clients and no session here. */
let outside: Pod;
let users = 0;

beforeAll(async () => {
  running = await RunningSessions.open({ name: "PGlite" });
  for (const tenant of ["acme", "shop"]) await running.addTenant(tenant);
  pod = await running.addPod("node-1");
  outside = await running.deployment.addPod("node-2");
});
afterAll(() => running.close());

const newUser = (tenant: string): Promise<LoggedIn> => running.enter(tenant, `user-${++users}`);
const seen = (token: string) => pod.client.seen(PATH, { token });
const until = (at: Pod, token: string, answer: string) =>
  waitUntil(async () => (await at.client.seen(PATH, { token })) === answer, {
    what: answer,
    timeoutMs: UNTIL_MS,
  });
const refreshed = async ({ refreshToken }: LoggedIn) =>
  (await running.client.ask("POST", "/v1/refresh", { body: { refresh_token: refreshToken } })).body;
const person = (tenant: string) => ({ tenant, user: "ann", session: "elsewhere" });
const outsideToken = (tenant: string, claims: JsonMembers = {}) =>
  running.deployment.token(person(tenant), claims);

async function through(
  args: readonly string[],
  { input, token = running.operatorToken }: { input?: string; token?: string } = {},
): Promise<Ended> {
  const settings = {
    SEKISHO_SESSIONS_URL: running.service.url,
    SEKISHO_SESSIONS_TOKEN: token,
  };
  return sekisho(["revoke", ...args], settings, input);
}

/** Applied by both nodes, so from now on no node accepts what was revoked. */
async function appliedThrough(args: readonly string[], input?: string): Promise<void> {
  const { code, out, err } = await through([...args, "--wait", "10000"], { input: input ?? "" });
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(/^Ended and published \([0-9a-f-]{36}\)\.\nApplied by 2\/2 nodes in /);
}

describe("revoke through the session service", () => {
  test("token: refuses that token alone", async () => {
    const ann = await newUser("acme");
    await until(pod, ann.accessToken, "200");
    await appliedThrough(["token", "--reason", "leaked"], `${ann.accessToken}\n`);
    expect(await seen(ann.accessToken)).toBe("401 token_revoked");
    expect(await refreshed(ann)).toMatchObject({ session_id: ann.sessionId });
    expect(await seen((await running.login(ann)).accessToken)).toBe("200");
  });

  test("token: of an outside issuer, by its signed part where it has no jti", async () => {
    const [token, other] = [outsideToken("acme", { n: 1 }), outsideToken("acme", { n: 2 })];
    await until(outside, token, "200");
    await appliedThrough(["token"], token);
    expect(await outside.client.seen(PATH, { token })).toBe("401 token_revoked");
    expect(await outside.client.seen(PATH, { token: other })).toBe("200");
  });

  test("tenant: ends its sessions and tokens, and no login after the answer", async () => {
    const [ann, other] = [await newUser("shop"), await newUser("acme")];
    await until(pod, ann.accessToken, "200");
    await appliedThrough(["tenant", "--tenant", "shop"]);
    expect(await seen(ann.accessToken)).toBe("401 tenant_revoked");
    expect(await refreshed(ann)).toMatchObject({ code: "session_ended" });
    expect(await seen((await running.login(ann)).accessToken)).toBe("200");
    expect(await seen(other.accessToken)).toBe("200");
    expect(await refreshed(other)).toMatchObject({ session_id: other.sessionId });
  });

  test("client: refuses its tokens in the tenant, or in all", async () => {
    const client = { client_id: "an app" };
    const [here, elsewhere] = [outsideToken("acme", client), outsideToken("shop", client)];
    const another = outsideToken("acme", { client_id: "another" });
    const answers = () =>
      Promise.all([here, elsewhere, another].map((token) => outside.client.seen(PATH, { token })));
    await until(outside, here, "200");
    await appliedThrough(["client", "--client", "an app", "--tenant", "acme"]);
    expect(await answers()).toEqual(["401 client_revoked", "200", "200"]);
    await appliedThrough(["client", "--client", "an app", "--all-tenants", "--yes"]);
    expect(await answers()).toEqual(["401 client_revoked", "401 client_revoked", "200"]);
    const token = outsideToken("acme", client);
    expect(await outside.client.seen(PATH, { token })).toBe("200");
  });

  test("key: refuses whatever it signs, until it is lifted", async () => {
    const { issuer } = running.deployment.issuer;
    const thumbprint = thumbprintOf(running.deployment.issuer.jwk());
    const key = ["key", "--issuer", issuer, "--thumbprint", thumbprint];
    const known = outsideToken("acme");
    await until(outside, known, "200");
    await appliedThrough([...key, "--yes"]);
    for (const token of [known, outsideToken("acme")]) {
      expect(await outside.client.seen(PATH, { token })).toBe("401 key_revoked");
    }
    const lifted = await through([...key, "--lift"]);
    expect([lifted.code, lifted.err]).toEqual([0, ""]);
    expect(lifted.out).toMatch(/^Lifted: /);
    const again = await through([...key, "--lift", "--json"]);
    expect([again.code, again.out]).toEqual([0, '{"lifted":true}\n']);
    const unknown = await through([...key.slice(0, -1), "A".repeat(43), "--lift"]);
    expect([unknown.code, unknown.out]).toEqual([1, ""]);
    expect(unknown.err).toContain("answered 404 not_found");
  });

  test("is refused to a tenant's administrator beyond the own tenant", async () => {
    const { accessToken: token } = await running.enter("acme", "chief", "tenant_admin");
    const key = ["key", "--issuer", "i", "--thumbprint", "A".repeat(43), "--yes"];
    for (const [args, status] of [
      [["tenant", "--tenant", "shop"], 404],
      [["client", "--client", "one", "--tenant", "shop"], 404],
      [["client", "--client", "one", "--all-tenants", "--yes"], 403],
      [key, 403],
      [["all", "--yes"], 403],
    ] as const) {
      const { code, out, err } = await through(args, { token });
      expect([args, code, out]).toEqual([args, 1, ""]);
      expect(err).toContain(`answered ${status} `);
    }
  });

  test("is done where the nodes may not be listed, which is said", async () => {
    const { accessToken: token } = await running.enter("acme", "deputy", "tenant_admin");
    const input = (await newUser("acme")).accessToken;
    const { code, err } = await through(["token"], { token, input });
    expect(code).toBe(0);
    expect(err).toMatch(/^Whether every node can read `token_revoked` is unknown: .* 403 /);
  });

  test.each([
    [["tenant", "--tenant", "acme"]],
    [["client", "--client", "one", "--tenant", "acme"]],
    [["all", "--yes"]],
  ])("%j takes no --issued-before: the service takes the present time", async (args) => {
    const { code, out, err } = await through([...args, "--issued-before", "now"]);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("leave out --issued-before");
  });
});

test("revoke tenant --break-glass refuses its tokens without the service", async () => {
  await running.addTenant("burning");
  const ann = await newUser("burning");
  await until(pod, ann.accessToken, "200");
  const redis = { SEKISHO_REDIS_URL: running.deployment.redis.url };
  const args = ["revoke", "tenant", "--tenant", "burning", "--wait", "10000"];
  const without = await sekisho(args, redis);
  expect([without.code, without.out]).toEqual([1, ""]);
  expect(without.err).toContain("--break-glass");
  const { code, out } = await sekisho([...args, "--break-glass"], redis);
  expect([code, out]).toEqual([0, expect.stringContaining("Applied by 2/2 nodes")]);
  expect(await seen(ann.accessToken)).toBe("401 tenant_revoked");
});

test("revoke all ends every session, the operator's too, and no login after it", async () => {
  const ann = await newUser("acme");
  await until(pod, ann.accessToken, "200");
  await appliedThrough(["all", "--yes"]);
  expect(await seen(ann.accessToken)).toBe("401 all_revoked");
  expect(await refreshed(ann)).toMatchObject({ code: "session_ended" });
  const { code, err } = await through(["all", "--yes"]);
  expect([code, err]).toEqual([1, expect.stringContaining("answered 401 invalid_token")]);
  const who = { tenant: OPERATORS, login: "root", password: PASSWORD };
  const { accessToken: token } = await running.client.login(who);
  expect((await running.client.ask("GET", "/v1/admin/tenants", { token })).status).toBe(200);
  expect(await seen((await running.login(ann)).accessToken)).toBe("200");
});
