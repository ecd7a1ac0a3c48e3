import { describe, expect, test } from "@jest/globals";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { generateSigningKey } from "../../../src/sessions/keys/key-generation.js";
import {
  mintAccessToken,
  type MintingKey,
  readMintingKey,
  type TokenFacts,
} from "../../../src/tokens/access-token-mint.js";
import { parseCompactJws, TOKEN_MAX_BYTES } from "../../../src/tokens/compact-jws.js";
import { ALGORITHMS } from "../../../src/tokens/algorithms.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../../../src/tokens/issuer.js";
import { parseKeySet } from "../../../src/tokens/jwks.js";
import { OwnTokenVerification } from "../../../src/tokens/own-token-verification.js";
import { TokenVerifier, type TrustedIssuer } from "../../../src/tokens/verification.js";
import { thumbprintOf } from "../../support/token-issuer.js";
import { isIdentifier } from "../../../src/tokens/identifier.js";

const TERMS = {
  issuer: "https://sessions.example",
  audience: "https://api.example",
  lifetimeS: 600,
};
const FACTS: TokenFacts = {
  tenant: "tenant-1",
  user: "user-1",
  session: "session-1",
  epoch: 7,
  scopes: ["tenant_admin", "user"],
  issuedAtS: 1_800_000_000,
};

interface Minting {
  readonly thumbprint: string;
  readonly key: MintingKey;
  readonly verifier: TokenVerifier;
  readonly keys: TrustedIssuer["keys"];
}

/** A key, and the sidecar's verifier that has it from a JWK Set. */
async function prepare(algorithm: (typeof ALGORITHMS)[number]): Promise<Minting> {
  const { publicJwk, privateKey } = await generateSigningKey(algorithm);
  const parsed = await parseKeySet({ keys: [publicJwk] }, [algorithm]);
  if (!parsed.usable) throw new Error(parsed.problem);
  const { keys } = parsed.keySet;
  const issuer: Issuer = {
    issuer: TERMS.issuer,
    audience: TERMS.audience,
    keyLocation: { kind: "file", path: "none" },
    algorithms: [algorithm],
    typ: "at+jwt",
    tenants: undefined,
    claims: DEFAULT_CLAIM_NAMES,
  };
  const current = { generation: 1, find: (kid: string) => keys.get(kid) };
  const found = { current: () => current, noteUnknownKid: () => undefined };
  return {
    keys: found,
    thumbprint: thumbprintOf({ ...publicJwk }),
    key: await readMintingKey(publicJwk.kid, algorithm, privateKey),
    verifier: new TokenVerifier({
      issuers: [{ issuer, keys: found }],
      cacheMaxEntries: 10,
      pendingMax: 10,
    }),
  };
}

describe("a minted token", () => {
  test("says exactly what it has to", async () => {
    const { key } = await prepare("ES256");
    const token = await mintAccessToken(FACTS, key, TERMS, "token-1");
    const header = Buffer.from(token.split(".")[0] ?? "", "base64url").toString("utf8");
    expect(JSON.parse(header)).toEqual({ alg: "ES256", typ: "at+jwt", kid: key.kid });
    expect(parseCompactJws(token)?.claims).toEqual({
      iss: "https://sessions.example",
      aud: "https://api.example",
      sub: "user-1",
      iat: 1_800_000_000,
      exp: 1_800_000_600,
      jti: "token-1",
      tenant_id: "tenant-1",
      user_id: "user-1",
      session_id: "session-1",
      user_epoch: 7,
      scope: "tenant_admin user",
    });
  });

  test("has no scope where there is none", async () => {
    const { key } = await prepare("ES256");
    const token = await mintAccessToken({ ...FACTS, scopes: [] }, key, TERMS, "token-1");
    expect(parseCompactJws(token)?.claims).not.toHaveProperty("scope");
  });

  test.each(ALGORITHMS)("is accepted by the sidecar's verifier when signed by %s", async (alg) => {
    const { key, verifier, thumbprint } = await prepare(alg);
    const token = await mintAccessToken(FACTS, key, TERMS, "token-1");
    expect(await verifier.verify(token)).toMatchObject({
      verified: true,
      token: {
        issuer: TERMS.issuer,
        audience: [TERMS.audience],
        tenant: FACTS.tenant,
        user: FACTS.user,
        session: FACTS.session,
        epoch: FACTS.epoch,
        issuedAt: FACTS.issuedAtS,
        expiresAt: FACTS.issuedAtS + 600,
        notBefore: undefined,
        scopes: new Set(FACTS.scopes),
        jti: "token-1",
        client: undefined,
        signedDigest: createHash("sha256")
          .update(token.slice(0, token.lastIndexOf(".")))
          .digest("base64url"),
        keyThumbprint: thumbprint,
      },
    });
  });

  test("is accepted by the sidecar's verifier whatever the ids and the epoch are", async () => {
    const { key, verifier } = await prepare("ES256");
    const id = fc.string({ unit: "binary", minLength: 1, maxLength: 256 }).filter(isIdentifier);
    const facts = fc.record<TokenFacts>({
      tenant: id,
      user: id,
      session: id,
      epoch: fc.maxSafeNat(),
      scopes: fc.subarray(["operator", "tenant_admin", "user", "password_change"]),
      issuedAtS: fc.integer({ min: 0, max: 4_000_000_000 }),
    });
    await fc.assert(
      fc.asyncProperty(facts, async (given) => {
        const token = await mintAccessToken(given, key, TERMS, "token-1");
        const { tenant, user, session, epoch, issuedAtS: issuedAt } = given;
        expect(await verifier.verify(token)).toMatchObject({
          verified: true,
          token: { tenant, user, session, epoch, issuedAt, scopes: new Set(given.scopes) },
        });
      }),
    );
  });

  test("is not too long with the longest ids that there can be", async () => {
    const { key, verifier } = await prepare("ES256");
    const [tenant, user, session] = ["😀", "😁", "😂"].map((one) => one.repeat(256));
    if (tenant === undefined || user === undefined || session === undefined) throw new Error();
    const facts = { ...FACTS, tenant, user, session, epoch: Number.MAX_SAFE_INTEGER };
    const token = await mintAccessToken(facts, key, TERMS, "f".repeat(36));
    expect(token.length).toBeLessThan(TOKEN_MAX_BYTES - 1000);
    expect(await verifier.verify(token)).toMatchObject({ verified: true });
  });
});

describe("a private key", () => {
  test("is not read as one for another kind of algorithm", async () => {
    const { privateKey } = await generateSigningKey("EdDSA");
    await expect(readMintingKey("key-1", "ES256", privateKey)).rejects.toThrow();
  });
});

test("a token for the service only is refused by every sidecar, and good at the service", async () => {
  const { key, verifier, keys } = await prepare("ES256");
  const nowS = FACTS.issuedAtS;
  const limits = { clockSkewS: 5, maxTokenLifetimeS: 900 };
  const issuer = { issuer: TERMS.issuer, audience: TERMS.audience };
  const audienceOf = async (forServiceOnly: boolean): Promise<readonly string[]> => {
    const token = await mintAccessToken({ ...FACTS, forServiceOnly }, key, TERMS, "id");
    const verification = await verifier.verify(token);
    if (!verification.verified) throw new Error(verification.reason);
    return verification.token.audience;
  };
  expect(await audienceOf(false)).toEqual([TERMS.audience]);
  expect(await audienceOf(true)).toEqual(["urn:sekisho:sessions"]);
  const token = await mintAccessToken({ ...FACTS, forServiceOnly: true }, key, TERMS, "id");
  const own = new OwnTokenVerification({ ...issuer, limits, keys });
  expect(await own.verify(token, () => nowS)).toMatchObject({ good: true });
});
