import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createLocalJWKSet, jwtVerify } from "jose";
import { z } from "zod";

import { createTokenMint } from "../../../dev/token-mint.js";
import type { TokenMint } from "../../../dev/token-mint.js";

const keySetSchema = z.object({ keys: z.array(z.record(z.string(), z.string())) });
const ann = { tenant: "acme", user: "ann", session: "s-1", epoch: 3 };
let folder: string;
let mint: TokenMint;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sekisho-test-"));
  mint = await createTokenMint(folder);
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function verify(token: string) {
  const keys = keySetSchema.parse(JSON.parse(await readFile(mint.jwksFile, "utf8")));
  return jwtVerify(token, createLocalJWKSet(keys), {
    issuer: mint.issuer,
    audience: mint.audience,
    typ: "at+jwt",
    algorithms: ["ES256"],
  });
}

test("a token is signed by the key in the file and says whose it is", async () => {
  const token = await mint.mint({ ...ann, issuedAt: 1_900_000_000, lifetimeS: 900 });
  const { payload, protectedHeader } = await verify(token);
  expect(protectedHeader.kid).toBe("local-1");
  expect(payload).toMatchObject({
    tenant_id: "acme",
    user_id: "ann",
    session_id: "s-1",
    user_epoch: 3,
    sub: "ann",
    iat: 1_900_000_000,
    exp: 1_900_000_900,
  });
  expect(payload).not.toHaveProperty("scope");
});

test("a token names its scopes, separated by spaces", async () => {
  const { payload } = await verify(await mint.mint({ ...ann, scopes: ["a:read", "b"] }));
  expect(payload["scope"]).toBe("a:read b");
});

test("the file holds the public half of the key only", async () => {
  const { keys } = keySetSchema.parse(JSON.parse(await readFile(mint.jwksFile, "utf8")));
  expect(keys.map((key) => Object.keys(key).sort())).toEqual([
    ["alg", "crv", "kid", "kty", "use", "x", "y"],
  ]);
});
