/** Several issuers, each of which may speak only for its own tenants. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { stringify } from "yaml";
import { JwksServer } from "../support/jwks-server.js";
import { E2eDeployment, claimsOf, untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { TokenIssuer } from "../support/token-issuer.js";

/** An identity provider from outside, with names of its own and without an epoch. */
const outside = new TokenIssuer({
  issuer: "https://idp.example",
  audience: "outside-api",
  algorithm: "RS256",
  kid: "idp-key",
});
const ann = { tenant: "acme", user: "ann", session: "ann-laptop" };

let deployment: E2eDeployment;
let pod: Pod;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  const jwks = await deployment.keep(JwksServer.start(outside.jwks()), (server) => server.close());
  const file = join(deployment.folder, "issuers.yaml");
  const own = {
    issuer: deployment.issuer.issuer,
    audience: deployment.issuer.audience,
    jwks_file: deployment.jwksFile,
    tenants: ["acme", "globex"],
  };
  const other = {
    issuer: outside.issuer,
    audience: outside.audience,
    jwks_url: jwks.url,
    algorithms: ["RS256"],
    typ: "JWT",
    tenants: ["initech"],
    claims: { tenant: "org", user: "sub", session: "sid", epoch: null },
  };
  await writeFile(file, stringify({ issuers: [own, other] }));
  const unset = { SEKISHO_ISSUER: "", SEKISHO_AUDIENCE: "", SEKISHO_JWKS_FILE: "" };
  pod = await deployment.addPod("node-1", { settings: { ...unset, SEKISHO_CONFIG: file } });
});
afterAll(() => deployment.close());

const outsideToken = (org: string, sub: string, sid: string): string =>
  outside.mintFrom({
    header: { typ: "JWT" },
    claims: {
      sub,
      org,
      sid,
      tenant_id: undefined,
      user_id: undefined,
      session_id: undefined,
      user_epoch: undefined,
    },
  });

it("lets each issuer's tokens pass for its own tenants", async () => {
  for (const tenant of ["acme", "globex"]) {
    const token = deployment.token({ ...ann, tenant });
    const { echo } = await pod.client.get("/things", { token });
    expect(echo?.headers["x-auth-tenant-id"]).toBe(tenant);
  }
  const token = outsideToken("initech", "peter", "s-1");
  const { echo } = await pod.client.get("/things", { token });
  expect(echo?.headers).toMatchObject({
    "x-auth-tenant-id": "initech",
    "x-auth-user-id": "peter",
    "x-auth-session-id": "s-1",
  });
});

it("refuses a token that names a tenant outside its issuer's list with 403", async () => {
  const tokens = [
    outsideToken("acme", "ann", "ann-laptop"),
    outsideToken("acme-2", "ann", "ann-laptop"),
    deployment.token({ ...ann, tenant: "initech" }),
  ];
  for (const token of tokens) {
    expect(await pod.client.seen("/things", { token })).toBe("403 tenant_mismatch");
    expect(await pod.client.seen("/catalogue", { token })).toBe("403 tenant_mismatch");
  }
});

it("takes no issuer's token with another issuer's rules", async () => {
  // Signed with the outside key, and naming us as the issuer, whose keys do not include it.
  const forged = outside.mint({ ...claimsOf(ann), iss: deployment.issuer.issuer });
  expect(await pod.client.seen("/things", { token: forged })).toBe("401 invalid_token");
  const typ = outside.mintFrom({ claims: { org: "initech", sid: "s-1" } });
  expect(await pod.client.seen("/things", { token: typ })).toBe("401 invalid_token");
});

it("revokes the tokens of an issuer without an epoch by a cut-off, and no newer ones", async () => {
  const issuedBefore = Math.floor(Date.now() / 1000);
  const claims = { org: "initech", sub: "milton", sid: "s-2" };
  const issuedAt = (iat: number): string =>
    outside.mintFrom({ header: { typ: "JWT" }, claims: { ...claims, iat, exp: iat + 300 } });
  const [before, after] = [issuedAt(issuedBefore - 1), issuedAt(issuedBefore)];
  expect(await pod.client.seen("/things", { token: before })).toBe("200");
  const args = ["--tenant", "initech", "--user", "milton"];
  const revocation = ["revoke", "user", ...args, "--issued-before", String(issuedBefore)];
  expect((await deployment.sekisho(...revocation)).exit.code).toBe(0);
  await untilAnswered(pod, "/things", { token: before }, "401 token_issued_before_cutoff");
  expect(await pod.client.seen("/things", { token: after })).toBe("200");
  const bystander = outsideToken("initech", "peter", "s-1");
  expect(await pod.client.seen("/things", { token: bystander })).toBe("200");
});
