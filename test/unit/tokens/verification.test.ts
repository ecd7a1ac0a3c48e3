import { beforeEach, describe, expect, test } from "@jest/globals";
import { constants, createHmac, sign } from "node:crypto";
import { TOKEN_MAX_BYTES } from "../../../src/tokens/compact-jws.js";
import { type CurrentKeys } from "../../../src/tokens/issuer-keys.js";
import { type Algorithm, ALGORITHMS } from "../../../src/tokens/algorithms.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../../../src/tokens/issuer.js";
import { type KeySet, parseKeySet } from "../../../src/tokens/jwks.js";
import {
  type TokenDenial,
  TokenVerifier,
  type Verification,
} from "../../../src/tokens/verification.js";
import { base64url, type JsonMembers, TokenIssuer } from "../../support/token-issuer.js";

const issuers = {
  ES256: new TokenIssuer({ algorithm: "ES256", kid: "es" }),
  RS256: new TokenIssuer({ algorithm: "RS256", kid: "rs" }),
  PS256: new TokenIssuer({ algorithm: "PS256", kid: "ps" }),
  EdDSA: new TokenIssuer({ algorithm: "EdDSA", kid: "ed" }),
} as const satisfies Record<Algorithm, TokenIssuer>;
const es = issuers.ES256;
const stranger = new TokenIssuer({ kid: "es" });
const FULL_SET = await keySetOf(Object.values(issuers).map((issuer) => issuer.jwk()));

const STRANGERS_SET = await keySetOf([stranger.jwk()]);

async function keySetOf(jwks: readonly JsonMembers[]): Promise<KeySet> {
  const parsed = await parseKeySet({ keys: jwks }, ALGORITHMS);
  if (!parsed.usable) throw new Error(parsed.problem);
  return parsed.keySet;
}

/** Keys that the test changes at will; a set of undefined means that none is in use. */
class SwitchedKeys {
  generation = 1;
  keySet: KeySet | undefined = FULL_SET;
  unknownKids = 0;

  current(): CurrentKeys | undefined {
    const { generation, keySet } = this;
    return keySet && { generation, find: (kid) => keySet.keys.get(kid) };
  }

  noteUnknownKid(): void {
    this.unknownKids += 1;
  }

  change(keySet: KeySet): void {
    this.keySet = keySet;
    this.generation += 1;
  }
}

function issuerConfig(overrides: Partial<Issuer> = {}): Issuer {
  return {
    issuer: es.issuer,
    audience: es.audience,
    keyLocation: { kind: "file", path: "/nowhere" },
    algorithms: ALGORITHMS,
    typ: "at+jwt",
    tenants: undefined,
    claims: DEFAULT_CLAIM_NAMES,
    ...overrides,
  };
}

let keys: SwitchedKeys;
let lookups: string[];
beforeEach(() => {
  keys = new SwitchedKeys();
  lookups = [];
});

function verifierOf({ issuer = issuerConfig(), pendingMax = 16, cacheMaxEntries = 16 } = {}) {
  return new TokenVerifier({
    issuers: [{ issuer, keys }],
    cacheMaxEntries,
    pendingMax,
    onCache: (result) => lookups.push(result),
  });
}

/** The outcome, and whether it was there at once. */
async function outcomeOf(verifier: TokenVerifier, raw: string) {
  const answer = verifier.verify(raw);
  const verification = await answer;
  const outcome = verification.verified ? "verified" : verification.reason;
  return `${outcome} ${answer instanceof Promise ? "after a check" : "at once"}`;
}

function denied(reason: TokenDenial, signatureGood = false): Verification {
  return { verified: false, reason, signatureGood };
}

describe("a good token", () => {
  test.each(ALGORITHMS)("is verified with %s", async (algorithm) => {
    const raw = issuers[algorithm].mint({ session_id: "session-9" });
    const issuer = issuerConfig();
    expect(await verifierOf({ issuer }).verify(raw)).toMatchObject({
      verified: true,
      issuer,
      token: { tenant: "tenant-1", user: "user-1", session: "session-9" },
    });
  });

  test.each(["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])(
    "may call itself %s",
    async (typ) => {
      const raw = es.mintFrom({ header: { typ } });
      expect(await outcomeOf(verifierOf(), raw)).toBe("verified after a check");
    },
  );

  test("is held to the typ that its issuer is configured with", async () => {
    const verifier = verifierOf({ issuer: issuerConfig({ typ: "JWT" }) });
    expect(await outcomeOf(verifier, es.mintFrom({ header: { typ: "jwt" } }))).toMatch("verified");
    expect(verifier.verify(es.mint())).toEqual(denied("token_malformed"));
  });

  test("is verified although it has expired or names another audience", async () => {
    const raw = es.mint({ iat: 1, exp: 2, aud: "https://other.example" });
    expect(await outcomeOf(verifierOf(), raw)).toBe("verified after a check");
  });

  test("may be signed by a key for either RSA algorithm, unless its alg pins one", async () => {
    const ps = issuers.PS256;
    const [asPs256, asRs256] = [ps.mint(), signedAsRs256({ alg: "RS256" })];
    keys.keySet = await keySetOf([ps.jwk({ alg: undefined })]);
    expect(await outcomeOf(verifierOf(), asPs256)).toBe("verified after a check");
    expect(await outcomeOf(verifierOf(), asRs256)).toBe("verified after a check");
    keys.keySet = await keySetOf([ps.jwk({ alg: "RS256" })]);
    expect(verifierOf().verify(asPs256)).toEqual(denied("token_algorithm_forbidden"));
    expect(await outcomeOf(verifierOf(), asRs256)).toBe("verified after a check");
  });
});

describe("denied at once", () => {
  const [header = "", payload = "", signature = ""] = es.mint().split(".");

  test.each<[string, TokenDenial, string]>([
    ["nothing", "token_malformed", ""],
    ["text", "token_malformed", "hello"],
    ["a huge text", "token_malformed", "a".repeat(1_000_000)],
    ["a JWE", "token_malformed", `${header}.${payload}.${payload}.${payload}.${signature}`],
    ["padding", "token_malformed", `${header}.${payload}.${signature}==`],
    ["white space", "token_malformed", `${header}.${payload}.${signature} `],
    ["no signature", "token_malformed", `${header}.${payload}.`],
    ["no typ", "token_malformed", es.mintFrom({ header: { typ: undefined } })],
    ["an ID token's typ", "token_malformed", es.mintFrom({ header: { typ: "JWT" } })],
    ["a longer typ", "token_malformed", es.mintFrom({ header: { typ: "x/at+jwt" } })],
    ["a kid that is a number", "token_malformed", es.mintFrom({ header: { kid: 1 } })],
    ["an embedded key", "token_malformed", es.mintFrom({ header: { jwk: stranger.jwk() } })],
    ["a key's address", "token_malformed", es.mintFrom({ header: { jku: "https://e.example" } })],
    ["crit", "token_malformed", es.mintFrom({ header: { crit: ["b64"], b64: false } })],
    ["no issuer", "token_issuer_unknown", es.mint({ iss: undefined })],
    ["an issuer that is a list", "token_issuer_unknown", es.mint({ iss: [es.issuer] })],
    ["another issuer", "token_issuer_unknown", es.mint({ iss: `${es.issuer}/` })],
    [
      "the issuer in another case",
      "token_issuer_unknown",
      es.mint({ iss: "HTTPS://issuer.example" }),
    ],
    ["HS512", "token_algorithm_forbidden", es.mintFrom({ header: { alg: "HS512" } })],
    ["es256", "token_algorithm_forbidden", es.mintFrom({ header: { alg: "es256" } })],
    ["toString", "token_algorithm_forbidden", es.mintFrom({ header: { alg: "toString" } })],
    ["no kid", "token_key_unknown", es.mintFrom({ header: { kid: undefined } })],
    ["an empty kid", "token_key_unknown", es.mintFrom({ header: { kid: "" } })],
    ["an unknown kid", "token_key_unknown", es.mintFrom({ header: { kid: "es2" } })],
    ["an inherited kid", "token_key_unknown", es.mintFrom({ header: { kid: "__proto__" } })],
  ])("%s: %s", (_, reason, raw) => {
    expect(verifierOf().verify(raw)).toEqual(denied(reason));
  });

  test.each(["none", "None", "NONE"])("alg %s, with a signature and without", (alg) => {
    const unsigned = es.mintFrom({ header: { alg }, signature: () => new Uint8Array() });
    expect(unsigned.endsWith(".")).toBe(true);
    expect(verifierOf().verify(unsigned)).toEqual(denied("token_algorithm_forbidden"));
    const signed = es.mintFrom({ header: { alg } });
    expect(verifierOf().verify(signed)).toEqual(denied("token_algorithm_forbidden"));
  });

  test("an HMAC with the public key as its secret", () => {
    const rs = issuers.RS256;
    const secret = rs.publicKey.export({ format: "pem", type: "spki" });
    const raw = rs.mintFrom({
      header: { alg: "HS256" },
      signature: (input) => createHmac("sha256", secret).update(input).digest(),
    });
    expect(verifierOf().verify(raw)).toEqual(denied("token_algorithm_forbidden"));
  });

  test("an algorithm that only another issuer may use", () => {
    const issuer = issuerConfig({ algorithms: ["ES256"] });
    const raw = issuers.RS256.mint();
    expect(verifierOf({ issuer }).verify(raw)).toEqual(denied("token_algorithm_forbidden"));
  });

  test("an algorithm that the key is not for", () => {
    const raw = es.mintFrom({ header: { alg: "RS256" } });
    expect(verifierOf().verify(raw)).toEqual(denied("token_algorithm_forbidden"));
    expect(keys.unknownKids).toBe(0);
  });

  test("anything while no keys are in use, though not before its form and issuer are good", () => {
    keys.keySet = undefined;
    const verifier = verifierOf();
    expect(verifier.verify(es.mint())).toEqual(denied("keys_unavailable"));
    expect(verifier.verify(es.mintFrom({ header: { kid: "x" } }))).toEqual(
      denied("keys_unavailable"),
    );
    expect(verifier.verify("hello")).toEqual(denied("token_malformed"));
    expect(verifier.verify(es.mint({ iss: "x" }))).toEqual(denied("token_issuer_unknown"));
    expect(keys.unknownKids).toBe(0);
  });

  test("an unknown kid is noted, a missing one is not", () => {
    const verifier = verifierOf();
    void verifier.verify(es.mintFrom({ header: { kid: undefined } }));
    expect(keys.unknownKids).toBe(0);
    void verifier.verify(es.mintFrom({ header: { kid: "new" } }));
    expect(keys.unknownKids).toBe(1);
  });
});

describe("denied after the signature was checked", () => {
  const [header = "", payload = ""] = es.mint().split(".");
  const [, otherPayload = "", signature = ""] = es.mint({ user_epoch: 9 }).split(".");

  test.each<[string, string]>([
    ["another key of the same kid", stranger.mint()],
    ["a signature of another payload", `${header}.${payload}.${signature}`],
    ["a header changed afterwards", withHeader(es.mint(), { ...es.header(), x: 1 })],
    ["a signature cut short", `${header}.${otherPayload}.${signature.slice(0, 40)}`],
    ["a signature of zeros", es.mintFrom({ signature: () => new Uint8Array(64) })],
    ["a signature of one byte", es.mintFrom({ signature: () => new Uint8Array(1) })],
    ["a signature of many bytes", es.mintFrom({ signature: () => new Uint8Array(4000) })],
    ["RS256's padding under PS256", signedAsRs256({})],
  ])("%s", async (_, raw) => {
    expect(await verifierOf().verify(raw)).toEqual(denied("token_signature_invalid"));
  });

  test.each<[string, JsonMembers]>([
    ["no session", { session_id: undefined }],
    ["a lone surrogate as tenant", { tenant_id: "\ud800" }],
    ["a sub that is not the user", { sub: "user-2" }],
    ["an epoch that is a text", { user_epoch: "0" }],
    ["no audience", { aud: undefined }],
    ["scopes in a list", { scope: ["a"] }],
  ])("claims: %s, and the signature was good", async (_, claims) => {
    const answer = await verifierOf().verify(es.mint(claims));
    expect(answer).toEqual(denied("token_claims_invalid", true));
  });

  test("bad claims do not hide a bad signature", async () => {
    const raw = stranger.mint({ session_id: undefined });
    expect(await verifierOf().verify(raw)).toEqual(denied("token_signature_invalid"));
  });

  test("duplicate members are refused although they are signed", () => {
    const text = JSON.stringify(es.claims()).replace("{", '{"user\\u005fepoch":99,');
    expect(JSON.parse(text)).toMatchObject({ user_epoch: 0 });
    expect(verifierOf().verify(es.mintFrom({ payloadText: text }))).toEqual(
      denied("token_malformed"),
    );
  });
});

describe("several issuers", () => {
  const other = new TokenIssuer({ issuer: "https://other.example", kid: "es" });

  test("each vouch only for themselves, even under one kid", async () => {
    const otherKeys = new SwitchedKeys();
    otherKeys.keySet = await keySetOf([other.jwk()]);
    const verifier = new TokenVerifier({
      issuers: [
        { issuer: issuerConfig(), keys },
        { issuer: issuerConfig({ issuer: other.issuer }), keys: otherKeys },
      ],
      cacheMaxEntries: 16,
      pendingMax: 16,
    });
    expect(await outcomeOf(verifier, es.mint())).toMatch("verified");
    expect(await outcomeOf(verifier, other.mint())).toMatch("verified");
    const forged = other.mint({ iss: es.issuer });
    expect(await outcomeOf(verifier, forged)).toMatch("token_signature_invalid");
    otherKeys.keySet = undefined;
    expect(verifier.verify(other.mint())).toEqual(denied("keys_unavailable"));
    expect(await outcomeOf(verifier, es.mint({ jti: "2" }))).toMatch("verified");
  });

  test("may not have one name", () => {
    const trusted = { issuer: issuerConfig(), keys };
    const options = { cacheMaxEntries: 1, pendingMax: 1, issuers: [trusted, trusted] };
    expect(() => new TokenVerifier(options)).toThrow("same name");
  });
});

describe("remembered tokens", () => {
  test("are verified at once, with what they said", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    const first = await verifier.verify(raw);
    expect(verifier.verify(raw)).toEqual(first);
    expect(lookups).toEqual(["miss", "hit"]);
  });

  test("are recognised by every byte", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    await verifier.verify(raw);
    expect(verifier.verify(`${raw}A`)).not.toMatchObject({ verified: true });
    const [header = "", payload = ""] = raw.split(".");
    const zeros = `${header}.${payload}.${base64url(new Uint8Array(64))}`;
    expect(await verifier.verify(zeros)).toEqual(denied("token_signature_invalid"));
  });

  test("are checked again once the keys changed, and refused where their key is gone", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    await verifier.verify(raw);
    keys.change(await keySetOf([es.jwk(), issuers.EdDSA.jwk()]));
    expect(await outcomeOf(verifier, raw)).toBe("verified after a check");
    expect(await outcomeOf(verifier, raw)).toBe("verified at once");
    keys.change(STRANGERS_SET);
    expect(await outcomeOf(verifier, raw)).toBe("token_signature_invalid after a check");
    keys.change(await keySetOf([issuers.EdDSA.jwk()]));
    expect(verifier.verify(raw)).toEqual(denied("token_key_unknown"));
    expect(lookups).toEqual(["miss", "miss", "hit", "miss", "miss"]);
  });

  test("are refused while no keys are in use, and verified at once when they are back", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    await verifier.verify(raw);
    keys.keySet = undefined;
    expect(verifier.verify(raw)).toEqual(denied("keys_unavailable"));
    keys.keySet = FULL_SET;
    expect(await outcomeOf(verifier, raw)).toBe("verified at once");
  });

  test("are not served where the keys changed while the signature was being checked", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    const pending = verifier.verify(raw);
    keys.change(STRANGERS_SET);
    expect(await pending).toMatchObject({ verified: true });
    expect(await outcomeOf(verifier, raw)).toBe("token_signature_invalid after a check");
  });

  test.each<[string, string]>([
    ["bad signatures", stranger.mint()],
    ["bad claims", es.mint({ session_id: 1 })],
  ])("are never ones with %s", async (_, raw) => {
    const verifier = verifierOf();
    const first = await outcomeOf(verifier, raw);
    expect(first).toMatch("after a check");
    expect(await outcomeOf(verifier, raw)).toBe(first);
    expect(lookups).toEqual(["miss", "miss"]);
  });

  test("are not looked for by a text too large to be a token", () => {
    const verifier = verifierOf();
    expect(verifier.verify("a".repeat(TOKEN_MAX_BYTES + 1))).toEqual(denied("token_malformed"));
    expect(lookups).toEqual([]);
    expect(verifier.verify("a".repeat(TOKEN_MAX_BYTES))).toEqual(denied("token_malformed"));
    expect(lookups).toEqual(["miss"]);
  });

  test("are at most as many as configured", async () => {
    const verifier = verifierOf({ cacheMaxEntries: 1 });
    const [one, two] = [es.mint({ jti: "1" }), es.mint({ jti: "2" })];
    await verifier.verify(one);
    await verifier.verify(two);
    expect(await outcomeOf(verifier, two)).toBe("verified at once");
    expect(await outcomeOf(verifier, one)).toBe("verified after a check");
  });
});

describe("signatures waiting for their check", () => {
  test("are at most as many as configured, and the rest is told so", async () => {
    const verifier = verifierOf({ pendingMax: 2 });
    const [one, two, three] = ["1", "2", "3"].map((jti) => es.mint({ jti }));
    const waiting = [verifier.verify(one ?? ""), verifier.verify(two ?? "")];
    expect(verifier.verify(three ?? "")).toEqual(denied("overloaded"));
    expect(verifier.verify("hello")).toEqual(denied("token_malformed"));
    for (const answer of waiting) expect((await answer).verified).toBe(true);
    expect(await outcomeOf(verifier, one ?? "")).toBe("verified at once");
    expect(await outcomeOf(verifier, three ?? "")).toBe("verified after a check");
  });

  test("make room again where they were bad", async () => {
    const verifier = verifierOf({ pendingMax: 1 });
    for (let times = 0; times < 3; times += 1) {
      expect(await outcomeOf(verifier, stranger.mint())).toMatch("token_signature_invalid");
    }
  });

  test("are checked once for all that present the same token", async () => {
    const verifier = verifierOf({ pendingMax: 1 });
    const raw = es.mint();
    const answers = Array.from({ length: 100 }, () => verifier.verify(raw));
    expect(new Set(answers).size).toBe(1);
    for (const answer of answers) expect((await answer).verified).toBe(true);
  });

  test("are not shared across a change of keys", async () => {
    const verifier = verifierOf();
    const raw = es.mint();
    const before = verifier.verify(raw);
    keys.change(STRANGERS_SET);
    expect(await verifier.verify(raw)).toEqual(denied("token_signature_invalid"));
    expect(await before).toMatchObject({ verified: true });
  });
});

function withHeader(raw: string, header: JsonMembers): string {
  return raw.replace(/^[^.]*/, base64url(JSON.stringify(header)));
}

/** A token of the PS256 issuer whose key made a signature as RS256 has it. */
function signedAsRs256(header: JsonMembers): string {
  const { privateKey: key } = issuers.PS256;
  const padding = constants.RSA_PKCS1_PADDING;
  return issuers.PS256.mintFrom({
    header,
    signature: (input) => sign("sha256", input, { key, padding }),
  });
}
