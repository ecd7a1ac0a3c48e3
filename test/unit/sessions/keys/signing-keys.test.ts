import { randomBytes } from "node:crypto";
import { beforeEach, describe, expect, test } from "@jest/globals";
import { waitUntil } from "../../../../dev/wait-for.js";
import { DatabaseError } from "../../../../src/sessions/database/database.js";
import { sealPrivateKey } from "../../../../src/sessions/keys/key-encryption.js";
import { generateSigningKey } from "../../../../src/sessions/keys/key-generation.js";
import {
  REFRESH_MS,
  RETRY_MS,
  SigningKeys,
  type SigningKeysOptions,
  type TokenFacts,
  UNKNOWN_KID_RELOAD_MIN_MS,
} from "../../../../src/sessions/keys/signing-keys.js";
import { parseCompactJws } from "../../../../src/tokens/compact-jws.js";
import { ManualClock } from "../../../support/manual-clock.js";
import { MemorySigningKeyStore } from "../../../support/signing-key-store-memory.js";

const secret = randomBytes(32);
const ROTATION_S = 86_400;
const PREPUBLISH_S = 3600;
const LIFETIME_S = 600;
const away = new DatabaseError("unavailable", "database: away");

let store: MemorySigningKeyStore;
let clock: ManualClock;
/** The reloads that are planned, of all instances. */
let timers: { readonly run: () => void; readonly delayMs: number }[];

beforeEach(() => {
  store = new MemorySigningKeyStore();
  clock = new ManualClock();
  timers = [];
});

function instance(options: Partial<SigningKeysOptions> = {}): SigningKeys {
  return new SigningKeys({
    store,
    clock,
    issuer: "https://sessions.example",
    audience: "https://api.example",
    rotationS: ROTATION_S,
    prepublishS: PREPUBLISH_S,
    tokenLifetimeS: LIFETIME_S,
    skewS: 5,
    secret,
    random: () => 0,
    schedule: (run, delayMs) => {
      const timer = { run, delayMs };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    ...options,
  });
}

async function started(options: Partial<SigningKeysOptions> = {}): Promise<SigningKeys> {
  const keys = instance(options);
  await keys.start();
  return keys;
}

function facts(): TokenFacts {
  const issuedAtS = Math.floor(clock.wallMs() / 1000);
  return { tenant: "t", user: "u", session: "s", epoch: 1, scopes: ["user"], issuedAtS };
}

async function kidOf(keys: SigningKeys): Promise<string> {
  const { token } = await keys.mint(facts());
  return parseCompactJws(token)?.kid ?? "none";
}

const kidsOf = (keys: SigningKeys) => keys.jwks().keys.map(({ kid }) => kid);

/** Another instance's reload, which does what rotation asks for now. */
const rotateElsewhere = async () => (await started()).close();

describe("signing keys", () => {
  test("are created at the first start, one for all instances, and sign at once", async () => {
    const instances = [instance(), instance(), instance()];
    await Promise.all(instances.map((keys) => keys.start()));
    expect(store.rows.size).toBe(1);
    const kids = await Promise.all(instances.map(kidOf));
    expect(new Set(kids)).toEqual(new Set(store.rows.keys()));
  });

  test("mint tokens that every instance verifies, and none that was changed", async () => {
    const [one, two] = [await started(), await started()];
    const { token, expiresInS } = await one.mint(facts());
    expect(expiresInS).toBe(LIFETIME_S);
    expect(await two.verify(token)).toMatchObject({ tenant: "t", user: "u", epoch: 1 });
    expect(await two.verify(`${token.slice(0, -4)}AAAA`)).toBeUndefined();
    clock.advance((LIFETIME_S + 5) * 1000);
    expect(await two.verify(token)).toBeUndefined();
  });

  test("are published without any private member", async () => {
    for (const algorithm of ["ES256", "RS256", "EdDSA"] as const) {
      store.rows.clear();
      const published = (await started({ algorithm })).jwks().keys;
      expect(published).toHaveLength(1);
      expect(published[0]).toMatchObject({ alg: algorithm, use: "sig" });
      for (const secretMember of ["d", "p", "q", "dp", "dq", "qi", "oth", "k"]) {
        expect(published[0]).not.toHaveProperty(secretMember);
      }
      expect(JSON.stringify([...store.rows.values()])).not.toContain("PRIVATE");
    }
  });

  test("are followed by the next one, which is published before it signs", async () => {
    const keys = await started();
    const first = await kidOf(keys);
    clock.advance((ROTATION_S - PREPUBLISH_S) * 1000);
    await keys.start();
    expect(kidsOf(keys)).toHaveLength(2);
    expect(await kidOf(keys)).toBe(first);
    clock.advance(PREPUBLISH_S * 1000 - 1);
    const lastOfFirst = await keys.mint(facts());
    expect(await kidOf(keys)).toBe(first);
    clock.advance(1);
    expect(await kidOf(keys)).toBe(kidsOf(keys)[1]);
    clock.advance((LIFETIME_S - 1) * 1000);
    await keys.start();
    expect(await keys.verify(lastOfFirst.token)).toMatchObject({ user: "u" });
    clock.advance(71_000);
    await keys.start();
    expect(kidsOf(keys)).not.toContain(first);
  });

  test("of another algorithm than new ones get go on until they are followed", async () => {
    await rotateElsewhere();
    const keys = await started({ algorithm: "EdDSA" });
    expect(keys.jwks().keys.map(({ alg }) => alg)).toEqual(["ES256"]);
    const { token } = await keys.mint(facts());
    clock.advance((ROTATION_S - PREPUBLISH_S) * 1000);
    await keys.start();
    expect(keys.jwks().keys.map(({ alg }) => alg)).toEqual(["ES256", "EdDSA"]);
    clock.advance(PREPUBLISH_S * 1000);
    const next = await keys.mint(facts());
    expect(await keys.verify(next.token)).toMatchObject({ user: "u" });
    expect(await keys.verify(token)).toBeUndefined();
  });

  test("that were all removed, as in an emergency, are replaced by one that signs", async () => {
    const keys = await started();
    const { token } = await keys.mint(facts());
    store.rows.clear();
    await keys.start();
    expect(kidsOf(keys)).toEqual([...store.rows.keys()]);
    expect(await keys.verify(token)).toBeUndefined();
  });
});

describe("before anything was read", () => {
  test("nothing is minted, verified or published", async () => {
    const keys = instance();
    await expect(keys.mint(facts())).rejects.toMatchObject({ code: "no_key" });
    const { token } = await (await started()).mint(facts());
    await expect(keys.verify(token)).rejects.toMatchObject({ code: "no_key" });
    expect(() => keys.jwks()).toThrow(expect.objectContaining({ code: "no_key" }));
    expect(keys.status()).toMatchObject({ keys: [], signingAgeMs: undefined });
  });

  test("a start without the database is refused, and can be tried again", async () => {
    const keys = instance();
    store.fault = away;
    await expect(keys.start()).rejects.toBe(away);
    expect(timers).toEqual([]);
    store.fault = undefined;
    await keys.start();
    expect(await kidOf(keys)).toBe(kidsOf(keys)[0]);
    expect(timers).toHaveLength(1);
  });

  test("a wrong secret is refused, and nothing is created", async () => {
    await rotateElsewhere();
    clock.advance(ROTATION_S * 1000);
    const before = [...store.rows];
    const wrong = instance({ secret: randomBytes(32) });
    await expect(wrong.start()).rejects.toMatchObject({ code: "wrong_secret" });
    expect([...store.rows]).toEqual(before);
  });

  test.each(["another key", "no key at all"])(
    "%s in place of the row's own is refused",
    async (what) => {
      const { privateKey } = await generateSigningKey("ES256");
      const name = { kid: "its-kid", algorithm: "ES256" } as const;
      const sealedPrivateKey = sealPrivateKey(
        what === "another key" ? privateKey : what,
        name,
        secret,
      );
      await rotateElsewhere();
      const [row] = [...store.rows.values()];
      if (row === undefined) throw new Error("there is no key");
      store.rows.set(name.kid, { ...row, ...name, sealedPrivateKey });
      const refusal: unknown = await instance()
        .start()
        .catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: "key_unreadable" });
      // A cause could quote the key.
      expect(refusal).not.toHaveProperty("cause");
    },
  );

  test("a key that was moved to another row is refused", async () => {
    await rotateElsewhere();
    const [row] = [...store.rows.values()];
    if (row === undefined) throw new Error("there is no key");
    store.rows.set(row.kid, { ...row, algorithm: "EdDSA" });
    await expect(instance().start()).rejects.toMatchObject({ code: "wrong_secret" });
    store.rows.clear();
    store.rows.set("moved", { ...row, kid: "moved" });
    await expect(instance().start()).rejects.toMatchObject({ code: "wrong_secret" });
  });

  test("a public key that somebody put into the row is not published", async () => {
    const keys = await started();
    const [published] = keys.jwks().keys;
    const [row] = [...store.rows.values()];
    if (row === undefined) throw new Error("there is no key");
    const foreign = { ...row.publicJwk, kty: "EC", crv: "P-256", x: "AA", y: "AA" } as const;
    store.rows.set(row.kid, { ...row, publicJwk: foreign });
    expect((await started()).jwks().keys).toEqual([published]);
  });

  test.each([
    ["a short secret", { secret: randomBytes(16) }, "secret_malformed"],
    ["an impossible schedule", { rotationS: 60 }, "schedule_impossible"],
  ])("%s is refused", (_, options, code) => {
    expect(() => instance(options)).toThrow(expect.objectContaining({ code }));
  });
});

describe("a change of the secret", () => {
  test("encrypts every key anew, once", async () => {
    const keys = await started();
    const { token } = await keys.mint(facts());
    const newSecret = randomBytes(32);
    const changed = await started({ secret: newSecret, previousSecret: secret });
    expect(await changed.verify(token)).toMatchObject({ user: "u" });
    const alone = await started({ secret: newSecret });
    expect(await alone.verify(token)).toMatchObject({ user: "u" });
    const { changes } = store;
    await changed.start();
    await started({ secret: newSecret, previousSecret: secret });
    expect(store.changes).toBe(changes);
  });

  test("leaves an instance with the old one what it has, and its problem is told", async () => {
    const keys = await started();
    await started({ secret: randomBytes(32), previousSecret: secret });
    await expect(keys.start()).rejects.toMatchObject({ code: "wrong_secret" });
    expect(await kidOf(keys)).toBe(kidsOf(keys)[0]);
    expect(keys.status().lastProblem).toMatch(/SEKISHO_SESSIONS_KEY_SECRET/);
  });
});

describe("while the database is away", () => {
  test("signing goes on until the key's time is over, and not much longer", async () => {
    const keys = await started();
    store.fault = away;
    clock.advance(ROTATION_S * 1000 - 1);
    await expect(keys.start()).rejects.toBe(away);
    expect(await kidOf(keys)).toBe(kidsOf(keys)[0]);
    clock.advance(1);
    await expect(keys.mint(facts())).rejects.toMatchObject({ code: "no_key" });
    store.fault = undefined;
    await keys.start();
    expect(kidsOf(keys)).toHaveLength(2);
    expect(await kidOf(keys)).toBe(kidsOf(keys)[0]);
  });

  test("reloads are tried again sooner, and the last problem is told", async () => {
    const problems: (string | undefined)[] = [];
    const keys = await started({ onReload: (problem) => problems.push(problem) });
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([REFRESH_MS]);
    store.fault = away;
    await nextReload(keys);
    expect(keys.status().lastProblem).toBe("database: away");
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([RETRY_MS]);
    store.fault = undefined;
    await nextReload(keys);
    expect(keys.status().lastProblem).toBeUndefined();
    expect(timers.map(({ delayMs }) => delayMs)).toEqual([REFRESH_MS]);
    expect(problems).toStrictEqual([undefined, "database: away", undefined]);
  });
});

/** Lets the one planned reload happen, and comes back when the next one is planned. */
async function nextReload(keys: SigningKeys): Promise<void> {
  const [timer] = timers.splice(0);
  if (timer === undefined) throw new Error("no reload is planned");
  clock.advance(timer.delayMs);
  timer.run();
  await waitUntil(() => timers.length > 0, { what: "the next reload's plan", timeoutMs: 30_000 });
  expect(keys.status().seenAgeMs).toBeLessThanOrEqual(REFRESH_MS + RETRY_MS);
}

describe("an unknown kid", () => {
  test("is looked for in the database, so that another instance's new key is known", async () => {
    const keys = await started();
    store.rows.clear();
    const other = await started();
    const { token } = await other.mint(facts());
    expect(await keys.verify(token)).toMatchObject({ user: "u" });
  });

  test("is looked for once in a while only, however many come", async () => {
    const keys = await started();
    const { token } = await keys.mint(facts());
    const rest = token.slice(token.indexOf("."));
    const named = (kid: string) =>
      Buffer.from(JSON.stringify({ alg: "ES256", typ: "at+jwt", kid })).toString("base64url") +
      rest;
    const { loads } = store;
    const many = Array.from({ length: 50 }, (_, index) => keys.verify(named(`kid-${index}`)));
    expect(new Set(await Promise.all(many))).toEqual(new Set([undefined]));
    expect(store.loads).toBe(loads + 1);
    clock.advance(UNKNOWN_KID_RELOAD_MIN_MS - 1);
    await keys.verify(named("one"));
    expect(store.loads).toBe(loads + 1);
    clock.advance(1);
    await keys.verify(named("one"));
    expect(store.loads).toBe(loads + 2);
  });

  test("is refused where the database is away", async () => {
    const keys = await started();
    store.rows.clear();
    const { token } = await (await started()).mint(facts());
    store.fault = away;
    expect(await keys.verify(token)).toBeUndefined();
  });
});

describe("the status", () => {
  test("tells the keys' ages, which one signs, and when the next one does", async () => {
    const keys = await started();
    const startMs = clock.wallMs();
    clock.advance((ROTATION_S - PREPUBLISH_S) * 1000);
    expect(keys.status().nextRotationAtMs).toBe(startMs + ROTATION_S * 1000);
    await keys.start();
    clock.advance(PREPUBLISH_S * 1000 - 1);
    const [first, second] = kidsOf(keys);
    expect(keys.status()).toEqual({
      keys: [
        { kid: first, ageMs: ROTATION_S * 1000 - 1, use: "signs" },
        { kid: second, ageMs: PREPUBLISH_S * 1000 - 1, use: "published" },
      ],
      signingAgeMs: ROTATION_S * 1000 - 1,
      nextRotationAtMs: startMs + ROTATION_S * 1000,
      seenAgeMs: PREPUBLISH_S * 1000 - 1,
      lastProblem: undefined,
    });
    clock.advance(2);
    expect(keys.status()).toMatchObject({
      keys: [{ use: "verifies" }, { use: "signs" }],
      signingAgeMs: 1,
      nextRotationAtMs: startMs + 2 * ROTATION_S * 1000,
    });
  });
});

test("once closed no reload is planned, and what was read stays in use", async () => {
  const keys = await started();
  await keys.close();
  expect(timers).toEqual([]);
  await keys.start();
  expect(timers).toEqual([]);
  expect(await kidOf(keys)).toBe(kidsOf(keys)[0]);
});
