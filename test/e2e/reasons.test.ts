/**
 * Every reason that a check can have is reached through Envoy, with what each side gets to know: the
 * caller a status, a problem and a challenge, the operator the reason in the access log.
 */
import { createHmac } from "node:crypto";
import { join } from "node:path";
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { stringify } from "yaml";
import { EnvoyProcess } from "../../dev/envoy-process.js";
import { waitUntil } from "../../dev/wait-for.js";
import { REASONS, type Reason } from "../../src/authz/check/reason.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { HttpClient, describeReply, type Ask, type Reply } from "../support/e2e-http.js";
import { E2eDeployment, claimsOf, untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { endOf } from "../support/following.js";
import { TokenIssuer, base64url, thumbprintOf, type JsonMembers } from "../support/token-issuer.js";

/** Reasons that Envoy cannot bring about, whatever a client sends and an operator configures. */
const OUT_OF_REACH: Partial<Record<Reason, string>> = {
  request_malformed: "Envoy's HTTP filter always says what the HTTP request was",
  internal_error: "it stands for a bug, and none is known",
};

const ann = { tenant: "acme", user: "ann", session: "ann-laptop" };
const STRANGER_TITLE = "The access token is not valid";
const nowS = (): number => Math.floor(Date.now() / 1000);
/** Before this, cyn's tokens were revoked. */
const CUT_OFF_S = nowS();

const EARLIER = { iat: CUT_OFF_S - 1, exp: CUT_OFF_S + 600 };

let deployment: E2eDeployment;
let pod: Pod;
/** Reasons that stood in an access log. */
const reached = new Set<string>();

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  pod = await deployment.addPod("node-1");
  await deployment.revoke(endOf("ended"));
  const userRevoked = { kind: "user_revoked", tenant: "acme" } as const;
  const { issuer } = deployment.issuer;
  const revocations: Revocation[] = [
    { kind: "token_revoked", tenant: "acme", issuer, jti: "stolen", signedDigest: undefined },
    { kind: "client_revoked", tenant: undefined, client: "shop", issuedBefore: CUT_OFF_S },
    { kind: "tenant_revoked", tenant: "closed", issuedBefore: CUT_OFF_S },
    { kind: "all_revoked", issuedBefore: CUT_OFF_S - 10 },
    { ...userRevoked, user: "bob", epoch: 3, issuedBefore: undefined },
    { ...userRevoked, user: "cyn", epoch: undefined, issuedBefore: CUT_OFF_S },
  ];
  for (const revocation of revocations) await deployment.revoke(revocation);
  const last = { token: beforeCutOff() };
  await untilAnswered(pod, "/things", last, "401 token_issued_before_cutoff");
});
afterAll(() => deployment.close());

/** What stands in the access log of this request. */
async function loggedReason(envoy: EnvoyProcess, reply: Reply): Promise<unknown> {
  const entry = await envoy.accessLogOf(reply.headers["x-request-id"] ?? "");
  const { reason } = entry;
  if (typeof reason === "string") reached.add(reason);
  return reason;
}

interface Refusal {
  readonly reason: Reason;
  readonly status: number;
  /** `code` and title of the problem; the reason's own if left out. */
  readonly told?: "invalid_token";
  readonly challenge?: string | undefined;
}

async function expectRefusal(
  envoy: EnvoyProcess,
  reply: Reply,
  { reason, status, told, challenge }: Refusal,
): Promise<void> {
  expect(await loggedReason(envoy, reply)).toBe(reason);
  const code = told ?? reason;
  const title = told === undefined ? REASONS[reason].title : STRANGER_TITLE;
  const type = `urn:sekisho:problem:${code}`;
  expect(reply.status).toBe(status);
  expect(reply.problem).toEqual({ type, title, status, code });
  expect(reply.headers["cache-control"]).toBe("no-store");
  expect(reply.headers["www-authenticate"]).toBe(challenge);
  expect(reply.headers["retry-after"]).toBe(status === 503 ? "1" : undefined);
}

const challengeFor = (title: string): string =>
  `Bearer realm="sekisho", error="invalid_token", error_description="${title}"`;

const beforeCutOff = (): string => deployment.token({ ...ann, user: "cyn" }, EARLIER);
const minted = (claims: JsonMembers): string => deployment.token(ann, claims);
const withHeader = (header: JsonMembers): string =>
  deployment.issuer.mintFrom({ header, claims: claimsOf(ann) });

describe("a request passes", () => {
  const cases: readonly { reason: Reason; path: string; ask: () => Ask }[] = [
    { reason: "allowed", path: "/things", ask: () => ({ token: deployment.token(ann) }) },
    { reason: "allowed_anonymous", path: "/public/news", ask: () => ({ token: "broken" }) },
    { reason: "allowed_anonymous", path: "/catalogue", ask: () => ({}) },
  ];
  it.each(cases)("and is logged as $reason on $path", async ({ reason, path, ask }) => {
    const reply = await pod.client.get(path, ask());
    expect(reply.status).toBe(200);
    expect(await loggedReason(pod.envoy, reply)).toBe(reason);
  });
});

describe("a stranger learns only that the token is not valid", () => {
  const other = new TokenIssuer();
  const unsigned = (): string => {
    const header = base64url(JSON.stringify({ alg: "none", typ: "at+jwt" }));
    return `${header}.${base64url(JSON.stringify(deployment.issuer.claims(claimsOf(ann))))}.`;
  };
  const tampered = (): string => {
    const [header = "", , signature = ""] = deployment.token(ann).split(".");
    const claims = deployment.issuer.claims(claimsOf({ ...ann, user: "root" }));
    return `${header}.${base64url(JSON.stringify(claims))}.${signature}`;
  };
  const signedWithThePublicKey = (): string =>
    deployment.issuer.mintFrom({
      header: { alg: "HS256" },
      claims: claimsOf(ann),
      signature: (input) => {
        const pem = deployment.issuer.publicKey.export({ type: "spki", format: "pem" });
        return createHmac("sha256", pem).update(input).digest();
      },
    });
  const cases: readonly { reason: Reason; token: string; make: () => string }[] = [
    { reason: "token_malformed", token: "that is no JWS", make: () => "abc" },
    { reason: "token_malformed", token: "of five parts, a JWE", make: () => "e30.e30.e30.e30.e30" },
    { reason: "token_malformed", token: "of another typ", make: () => withHeader({ typ: "JWT" }) },
    { reason: "token_malformed", token: "with crit", make: () => withHeader({ crit: ["exp"] }) },
    {
      reason: "token_malformed",
      token: "with a key of its own",
      make: () => withHeader({ jwk: deployment.issuer.jwk() }),
    },
    {
      reason: "token_malformed",
      token: "with a claim twice",
      make: () => deployment.issuer.mintFrom({ payloadText: '{"iss":"a","iss":"b"}' }),
    },
    { reason: "token_algorithm_forbidden", token: "of alg none", make: unsigned },
    {
      reason: "token_algorithm_forbidden",
      token: "HMACed with the public key",
      make: signedWithThePublicKey,
    },
    {
      reason: "token_key_unknown",
      token: "of an unknown kid",
      make: () => withHeader({ kid: "key-2" }),
    },
    {
      reason: "token_key_unknown",
      token: "without a kid",
      make: () => withHeader({ kid: undefined }),
    },
    {
      reason: "token_signature_invalid",
      token: "signed by somebody else",
      make: () => other.mint(claimsOf(ann)),
    },
    { reason: "token_signature_invalid", token: "with other claims put in", make: tampered },
    {
      reason: "token_issuer_unknown",
      token: "of an unknown issuer",
      make: () => minted({ iss: "https://evil.example" }),
    },
  ];
  it.each(cases)("where a token $token is $reason", async ({ reason, make }) => {
    const refusal = { reason, status: 401, told: "invalid_token" } as const;
    const challenge = challengeFor(STRANGER_TITLE);
    for (const path of ["/things", "/catalogue"]) {
      const reply = await pod.client.get(path, { token: make() });
      await expectRefusal(pod.envoy, reply, { ...refusal, challenge });
    }
  });

  it("where the credentials are no bearer token at all", async () => {
    const reply = await pod.client.get("/things", { headers: [["authorization", "Basic YTpi"]] });
    const refusal = { reason: "token_malformed", status: 401, told: "invalid_token" } as const;
    await expectRefusal(pod.envoy, reply, { ...refusal, challenge: challengeFor(STRANGER_TITLE) });
  });
});

describe("a person with a genuine token is told the reason", () => {
  const cases: readonly { reason: Reason; case: string; make: () => string }[] = [
    {
      reason: "token_audience_mismatch",
      case: "another audience",
      make: () => minted({ aud: "https://other.example" }),
    },
    { reason: "token_claims_invalid", case: "no session", make: () => minted({ session_id: "" }) },
    {
      reason: "token_claims_invalid",
      case: "an epoch below 0",
      make: () => minted({ user_epoch: -1 }),
    },
    {
      reason: "token_claims_invalid",
      case: "sub and user differ",
      make: () => minted({ sub: "x" }),
    },
    {
      reason: "token_expired",
      case: "its time is over",
      make: () => minted({ iat: nowS() - 300, exp: nowS() - 6 }),
    },
    {
      reason: "token_not_yet_valid",
      case: "issued in the future",
      make: () => minted({ iat: nowS() + 60, exp: nowS() + 120 }),
    },
    {
      reason: "token_not_yet_valid",
      case: "not before a minute from now",
      make: () => minted({ nbf: nowS() + 60 }),
    },
    {
      reason: "token_lifetime_exceeded",
      case: "valid for longer than a revocation is remembered",
      make: () => minted({ iat: nowS(), exp: nowS() + 901 }),
    },
    {
      reason: "session_revoked",
      case: "the session was ended",
      make: () => deployment.token({ ...ann, session: "ended" }),
    },
    {
      reason: "user_epoch_superseded",
      case: "of an earlier epoch",
      make: () => deployment.token({ ...ann, user: "bob", epoch: 2 }),
    },
    {
      reason: "token_issued_before_cutoff",
      case: "issued before the cut-off",
      make: () => beforeCutOff(),
    },
    { reason: "token_revoked", case: "that one token", make: () => minted({ jti: "stolen" }) },
    {
      reason: "client_revoked",
      case: "an earlier token of that OAuth client",
      make: () => minted({ ...EARLIER, client_id: "shop" }),
    },
    {
      reason: "tenant_revoked",
      case: "an earlier token of that tenant",
      make: () => deployment.token({ ...ann, tenant: "closed" }, EARLIER),
    },
    {
      reason: "all_revoked",
      case: "issued before everything was revoked",
      make: () => minted({ iat: CUT_OFF_S - 11, exp: CUT_OFF_S + 600 }),
    },
  ];
  it.each(cases)("$reason: $case", async ({ reason, make }) => {
    const challenge = challengeFor(REASONS[reason].title);
    const reply = await pod.client.get("/things", { token: make() });
    await expectRefusal(pod.envoy, reply, { reason, status: 401, challenge });
  });

  it("token_missing, with a challenge that names no error", async () => {
    const reply = await pod.client.get("/things");
    const challenge = 'Bearer realm="sekisho"';
    await expectRefusal(pod.envoy, reply, { reason: "token_missing", status: 401, challenge });
  });

  it("tenant_mismatch, with 403 and no challenge", async () => {
    const token = deployment.token({ ...ann, tenant: "globex" });
    const reply = await pod.client.get("/tenants/acme/things", { token });
    await expectRefusal(pod.envoy, reply, { reason: "tenant_mismatch", status: 403 });
  });

  it("scope_insufficient, with 403 and the scopes that are needed", async () => {
    const token = minted({ scope: "orders:read" });
    const reply = await pod.client.get("/orders", { token });
    const challenge =
      'Bearer realm="sekisho", error="insufficient_scope", scope="orders:read orders:write"';
    await expectRefusal(pod.envoy, reply, { reason: "scope_insufficient", status: 403, challenge });
    const both = minted({ scope: "orders:write orders:read other" });
    expect(await pod.client.seen("/orders", { token: both })).toBe("200");
  });
});

describe("the system's own fault is a 5xx", () => {
  it("route_policy_invalid where an operator mistyped a route's policy", async () => {
    const envoy = await deployment.keep(
      EnvoyProcess.start({
        api: { port: pod.api.port },
        sekisho: pod.authz.address,
        config: await deployment.changedEnvoyConfig("mistyped", [
          /^( +- name: public$[^]*?^ +sekisho\.auth: )public$/m,
          "$1pubic",
        ]),
      }),
      (started) => started.close(),
    );
    const client = new HttpClient(envoy.url);
    await deployment.keep(Promise.resolve(client), (made) => made.close());
    for (const ask of [{}, { token: deployment.token(ann) }]) {
      const reply = await client.get("/public/news", ask);
      await expectRefusal(envoy, reply, { reason: "route_policy_invalid", status: 500 });
    }
  });

  it("keys_unavailable for the issuer whose keys were never loaded, and only for it", async () => {
    const keyless = new TokenIssuer({ issuer: "https://keyless.example" });
    const file = join(deployment.folder, "issuers.yaml");
    const { issuer, audience } = deployment.issuer;
    const own = { issuer, audience, jwks_file: deployment.jwksFile, tenants: ["acme"] };
    const missing = {
      issuer: keyless.issuer,
      audience,
      jwks_file: join(deployment.folder, "none"),
    };
    await writeFile(file, stringify({ issuers: [own, { ...missing, tenants: ["globex"] }] }));
    const unset = { SEKISHO_ISSUER: "", SEKISHO_AUDIENCE: "", SEKISHO_JWKS_FILE: "" };
    const settings = { ...unset, SEKISHO_CONFIG: file };
    const other = await deployment.addPod("keyless", { settings, unready: true });
    await untilAnswered(other, "/things", { token: deployment.token(ann) }, "200");
    const reply = await other.client.get("/things", { token: keyless.mint() });
    await expectRefusal(other.envoy, reply, { reason: "keys_unavailable", status: 503 });
  });

  it("overloaded where more signatures wait than may", async () => {
    // It stands still for as long as the checks take to gather, and must not be stale or given up then.
    const settings = {
      SEKISHO_VERIFICATIONS_MAX_PENDING: "1",
      SEKISHO_MAX_STALENESS_MS: "60000",
    };
    const config = await deployment.patientEnvoyConfig();
    const busy = await deployment.addPod("overloaded", { settings, config });
    const tokens = Array.from({ length: 12 }, (_, number) =>
      deployment.token({ ...ann, session: `burst-${number}` }),
    );
    // While the node stands still its checks gather, and come all at once when it goes on.
    busy.authz.pause();
    const asked = tokens.map((token) => busy.client.getOnce("/things", { token }));
    await waitUntil(
      async () =>
        (await busy.envoy.statistic("cluster.sekisho.upstream_rq_active")) === tokens.length,
      { what: "all checks to wait for the node", timeoutMs: 15_000, everyMs: 5 },
    );
    busy.authz.resume();
    const replies = await Promise.all(asked);
    expect(new Set(replies.map(describeReply))).toEqual(new Set(["200", "503 overloaded"]));
    const refused = replies.filter((reply) => reply.status === 503);
    for (const reply of refused) {
      await expectRefusal(busy.envoy, reply, { reason: "overloaded", status: 503 });
    }
    for (const token of tokens) expect(await busy.client.seen("/things", { token })).toBe("200");
  });

  it("revocations_stale, by the route's policy, where revocations do not fit in memory", async () => {
    const settings = { SEKISHO_REVOCATIONS_MAX_ENTRIES: "1" };
    const tiny = await deployment.addPod("saturated", { settings });
    await waitUntil(
      async () =>
        (await tiny.authz.ops("/readyz")).body.includes("SEKISHO_REVOCATIONS_MAX_ENTRIES"),
      { what: "/readyz to name the setting", timeoutMs: 15_000 },
    );
    const token = deployment.token(ann);
    const reply = await tiny.client.get("/things", { token, stale: true });
    await expectRefusal(tiny.envoy, reply, { reason: "revocations_stale", status: 503 });
    const tolerant = await tiny.client.get("/timetable", { token });
    expect(tolerant.status).toBe(200);
    expect(await loggedReason(tiny.envoy, tolerant)).toBe("allowed_stale");
    // The check itself failed, so Envoy answers in its own words, and there is no metadata.
    const strict = await tiny.client.get("/payments", { token });
    expect([strict.status, strict.problem]).toEqual([503, undefined]);
    expect(await loggedReason(tiny.envoy, strict)).toBeNull();
    // The entry driven out is uncertain, never allowed; the one that is held is known.
    const evicted = { token: deployment.token({ ...ann, session: "ended" }), stale: true } as const;
    expect(await tiny.client.seen("/things", evicted)).toBe("503 revocations_stale");
    const held = { token: beforeCutOff() };
    expect(await tiny.client.seen("/things", held)).toBe("401 token_issued_before_cutoff");
    expect(await tiny.client.seen("/timetable", held)).toBe("401 token_issued_before_cutoff");
  });
});

describe("the key of an issuer that is revoked", () => {
  it("refuses whatever it signed or signs, also a token that was verified before", async () => {
    const token = deployment.token(ann);
    expect(await pod.client.seen("/things", { token })).toBe("200");
    const { issuer } = deployment.issuer;
    const thumbprint = thumbprintOf(deployment.issuer.jwk());
    await deployment.revoke({ kind: "key_revoked", issuer, thumbprint });
    await untilAnswered(pod, "/things", { token }, "401 key_revoked");
    const later = await pod.client.get("/things", { token: deployment.token(ann) });
    const challenge = challengeFor(REASONS.key_revoked.title);
    await expectRefusal(pod.envoy, later, { reason: "key_revoked", status: 401, challenge });
  });
});

it("leaves no reason out", () => {
  expect([...reached, ...Object.keys(OUT_OF_REACH)].sort()).toEqual(Object.keys(REASONS).sort());
});
