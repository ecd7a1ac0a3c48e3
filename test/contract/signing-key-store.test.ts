import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { asc, eq } from "drizzle-orm";
import { audit, signingKeys } from "../../src/sessions/database/schema-sql.js";
import type {
  SigningKeyStore,
  StoredSigningKey,
} from "../../src/sessions/keys/signing-key-store.js";
import { SqlSigningKeyStore } from "../../src/sessions/keys/signing-key-store-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { MemorySigningKeyStore } from "../support/signing-key-store-memory.js";

const AT_MS = 1_800_000_000_123;
const NOTHING = { create: [], extend: [], reseal: [], remove: [] };

function key(kid: string): StoredSigningKey {
  return {
    kid,
    algorithm: "ES256",
    publicJwk: { kid, alg: "ES256", use: "sig", kty: "EC", crv: "P-256", x: "x", y: "y" },
    sealedPrivateKey: new Uint8Array([0, 1, 254, 255]),
    createdAtMs: AT_MS,
    signsFromMs: AT_MS + 1,
    signsUntilMs: AT_MS + 2,
    publishedUntilMs: AT_MS + 3,
  };
}

/** Bytes may come as a Buffer, which is the same to whoever reads them. */
function plain(keys: readonly StoredSigningKey[]) {
  return [...keys]
    .map((one) => ({ ...one, sealedPrivateKey: [...one.sealedPrivateKey] }))
    .sort((a, b) => (a.kid < b.kid ? -1 : 1));
}

/** What every store has to do, whatever is behind it. */
function itIsAStore(open: () => SigningKeyStore): void {
  let store: SigningKeyStore;
  beforeEach(async () => {
    store = open();
    await store.change(AT_MS, (rows) => ({ ...NOTHING, remove: rows.map(({ kid }) => kid) }));
  });

  test("is empty at first", async () => {
    expect(await store.load()).toEqual([]);
  });

  test("gives back what was put in, to the millisecond", async () => {
    const changed = await store.change(AT_MS, () => ({ ...NOTHING, create: [key("a"), key("b")] }));
    expect(plain(changed)).toEqual(plain([key("a"), key("b")]));
    expect(plain(await store.load())).toEqual(plain(changed));
  });

  test("changes what it is told to, and nothing else", async () => {
    const create = ["a", "b", "c", "d"].map(key);
    await store.change(AT_MS, () => ({ ...NOTHING, create }));
    const sealed = new Uint8Array([7]);
    const changed = await store.change(AT_MS, (rows) => {
      expect(plain(rows)).toEqual(plain(create));
      const extend = [{ kid: "a", publishedUntilMs: AT_MS + 9 }];
      const reseal = [{ kid: "b", sealedPrivateKey: sealed }];
      return { create: [key("e")], extend, reseal, remove: ["c"] };
    });
    const expected = [
      { ...key("a"), publishedUntilMs: AT_MS + 9 },
      { ...key("b"), sealedPrivateKey: sealed },
      key("d"),
      key("e"),
    ];
    expect(plain(changed)).toEqual(plain(expected));
    expect(plain(await store.load())).toEqual(plain(expected));
  });

  test("changes nothing where the decision throws", async () => {
    const failing = store.change(AT_MS, () => {
      throw new Error("undecided");
    });
    await expect(failing).rejects.toThrow("undecided");
    expect(await store.load()).toEqual([]);
  });

  test("lets one at a time decide, so that only the first one finds it empty", async () => {
    const changes = Array.from({ length: 8 }, (_, index) =>
      open().change(AT_MS, (rows) =>
        rows.length > 0 ? NOTHING : { ...NOTHING, create: [key(`key-${index}`)] },
      ),
    );
    const seen = await Promise.all(changes);
    expect(new Set(seen.flat().map(({ kid }) => kid)).size).toBe(1);
    expect(await store.load()).toHaveLength(1);
  });
}

describe("a store of signing keys in memory", () => {
  const one = new MemorySigningKeyStore();
  itIsAStore(() => one);
});

describe.each(DATABASES)("a store of signing keys in $name", ({ start }) => {
  let started: StartedDatabase;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started.stop();
  });

  itIsAStore(() => new SqlSigningKeyStore(started.database));

  function trail() {
    return started.database.transaction({ role: "tenant", tenant: "sekisho" }, (queries) =>
      queries
        .select()
        .from(audit)
        .where(eq(audit.kind, "signing_key_created"))
        .orderBy(asc(audit.auditId)),
    );
  }

  test("writes an audit row for each key created, and only together with it", async () => {
    const store = new SqlSigningKeyStore(started.database);
    const before = (await trail()).length;
    await store.change(AT_MS, () => ({ ...NOTHING, create: [key("audited")] }));
    const again = store.change(AT_MS, () => ({ ...NOTHING, create: [key("audited")] }));
    await expect(again).rejects.toMatchObject({ name: "DatabaseError", code: "unique" });
    const rows = (await trail()).slice(before);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      tenantId: "sekisho",
      at: new Date(AT_MS),
      outcome: "done",
      actor: "sekisho",
      detail: {
        kid: "audited",
        algorithm: "ES256",
        signs_from: new Date(AT_MS + 1).toISOString(),
      },
    });
  });

  test("refuses a row that is no key, and says which", async () => {
    const broken = key("broken");
    await started.database.transaction({ role: "keys" }, (queries) =>
      queries.insert(signingKeys).values({
        kid: broken.kid,
        algorithm: "HS256",
        publicJwk: broken.publicJwk,
        privateKey: broken.sealedPrivateKey,
        createdAt: new Date(AT_MS),
        signsFrom: new Date(AT_MS),
        signsUntil: new Date(AT_MS),
        publishedUntil: new Date(AT_MS),
      }),
    );
    const store = new SqlSigningKeyStore(started.database);
    await expect(store.load()).rejects.toMatchObject({
      name: "SigningKeyError",
      code: "key_unreadable",
      message: expect.stringContaining("broken"),
    });
    await started.database.transaction({ role: "keys" }, (queries) =>
      queries.delete(signingKeys).where(eq(signingKeys.kid, "broken")),
    );
  });
});
