/** Signing keys as the service has them: in a database that several instances share. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { eq } from "drizzle-orm";
import { systemClock } from "../../src/runtime/clock.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { audit, signingKeys } from "../../src/sessions/database/schema-sql.js";
import { SigningKeys, type SigningKeysOptions } from "../../src/sessions/keys/signing-keys.js";
import { SqlSigningKeyStore } from "../../src/sessions/keys/signing-key-store-sql.js";
import { DEFAULT_CLAIM_NAMES } from "../../src/tokens/issuer.js";
import { IssuerKeys } from "../../src/tokens/issuer-keys.js";
import { TokenVerifier } from "../../src/tokens/verification.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";

const ISSUER = "https://sessions.example";
const AUDIENCE = "https://api.example";
const secret = randomBytes(32);

function facts() {
  const issuedAtS = Math.floor(systemClock.wallMs() / 1000);
  return { tenant: "t", user: "u", session: "s", epoch: 1, scopes: ["user"], issuedAtS };
}

function optionsOf(database: StartedDatabase["database"]): SigningKeysOptions {
  return {
    store: new SqlSigningKeyStore(database),
    clock: systemClock,
    issuer: ISSUER,
    audience: AUDIENCE,
    rotationS: 86_400,
    prepublishS: 3600,
    tokenLifetimeS: 600,
    skewS: 5,
    secret,
  };
}

describe.each(DATABASES)("signing keys in $name", ({ name, start }) => {
  let started: StartedDatabase;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started.stop();
  });
  beforeEach(async () => {
    await started.database.transaction({ role: "keys" }, (queries) => queries.delete(signingKeys));
  });

  const rows = () =>
    started.database.transaction({ role: "keys" }, (queries) => queries.select().from(signingKeys));
  const trail = () =>
    started.database.transaction({ role: "tenant", tenant: "sekisho" }, (queries) =>
      queries.select().from(audit).where(eq(audit.kind, "signing_key_created")),
    );

  test("are one, whoever of many comes first, and all agree on it", async () => {
    const before = (await trail()).length;
    const instances = Array.from({ length: 6 }, () => new SigningKeys(optionsOf(started.database)));
    try {
      await Promise.all(instances.map((keys) => keys.start()));
      const kids = (await rows()).map(({ kid }) => kid);
      expect(kids).toHaveLength(1);
      expect((await trail()).length).toBe(before + 1);
      for (const keys of instances) {
        expect(keys.jwks().keys.map(({ kid }) => kid)).toEqual(kids);
        const { token } = await keys.mint(facts());
        for (const other of instances) expect(await other.verify(token)).toBeDefined();
      }
    } finally {
      await Promise.all(instances.map((keys) => keys.close()));
    }
  });

  test("are encrypted in the database, under the key's own kid", async () => {
    const keys = new SigningKeys(optionsOf(started.database));
    await keys.start();
    await keys.close();
    const [row] = await rows();
    const privateKey = Buffer.from(row?.privateKey ?? []);
    expect(privateKey.length).toBeGreaterThan(100);
    expect(privateKey.toString("latin1")).not.toMatch(/BEGIN|PRIVATE/);
    expect(row?.publicJwk).toEqual(keys.jwks().keys[0]);
    expect(JSON.stringify(row?.publicJwk)).not.toContain('"d"');
  });

  test("survive a restart and a change of the secret", async () => {
    const first = new SigningKeys(optionsOf(started.database));
    await first.start();
    const { token } = await first.mint(facts());
    await first.close();
    const options = optionsOf(await started.reopen());
    const newSecret = randomBytes(32);
    const wrong = new SigningKeys({ ...options, secret: newSecret });
    await expect(wrong.start()).rejects.toMatchObject({ code: "wrong_secret" });
    const both = new SigningKeys({ ...options, secret: newSecret, previousSecret: secret });
    await both.start();
    await both.close();
    const after = new SigningKeys({ ...options, secret: newSecret });
    await after.start();
    await after.close();
    expect(await after.verify(token)).toMatchObject({ user: "u" });
    expect(await rows()).toHaveLength(1);
  });

  test("sign tokens that the sidecar takes with the published set", async () => {
    const keys = new SigningKeys(optionsOf(started.database));
    await keys.start();
    const issuer = {
      issuer: ISSUER,
      audience: AUDIENCE,
      keyLocation: { kind: "url", url: `${ISSUER}/.well-known/jwks.json` },
      algorithms: ["ES256"],
      typ: "at+jwt",
      tenants: undefined,
      claims: DEFAULT_CLAIM_NAMES,
    } as const;
    const issuerKeys = new IssuerKeys(issuer, {
      clock: systemClock,
      maxAgeMs: 86_400_000,
      load: () => Promise.resolve(JSON.parse(JSON.stringify(keys.jwks()))),
    });
    try {
      await issuerKeys.start();
      const verifier = new TokenVerifier({
        issuers: [{ issuer, keys: issuerKeys }],
        cacheMaxEntries: 10,
        pendingMax: 10,
      });
      const { token } = await keys.mint(facts());
      expect(await verifier.verify(token)).toMatchObject({
        verified: true,
        token: { tenant: "t", user: "u", session: "s", epoch: 1 },
      });
      const [header = "", payload = "", signature = ""] = token.split(".");
      const claims = Buffer.from(payload, "base64url").toString("utf8").replace('"u"', '"v"');
      const changed = `${header}.${Buffer.from(claims).toString("base64url")}.${signature}`;
      expect(await verifier.verify(changed)).toMatchObject({ verified: false });
      expect(await keys.verify(changed)).toBeUndefined();
    } finally {
      issuerKeys.close();
      await keys.close();
    }
  });

  test(`go on signing when ${name} is gone`, async () => {
    const { database } = started;
    const keys = new SigningKeys(optionsOf(database));
    await keys.start();
    await started.reopen();
    await expect(keys.start()).rejects.toThrow();
    const { token } = await keys.mint(facts());
    expect(await keys.verify(token)).toMatchObject({ user: "u" });
    expect(keys.status().lastProblem).toBeDefined();
    await keys.close();
  });
});

test("a start with no server at all is refused as the database's fault", async () => {
  // Nobody listens on port 1, and nobody who starts beside the test is given it.
  const database = openPostgres({ url: "postgres://nobody@127.0.0.1:1/none", poolMax: 1 });
  const keys = new SigningKeys(optionsOf(database));
  try {
    await expect(keys.start()).rejects.toMatchObject({
      name: "DatabaseError",
      code: "unavailable",
    });
  } finally {
    await keys.close();
    await database.close();
  }
});
