/** Runs the SQL that docs/ tells an administrator to run. */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { Client } from "pg";
import { PostgresServer, SERVICE_ROLE } from "../../dev/postgres-server.js";
import { repositoryRoot } from "../../dev/repository.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { SqlSigningKeyStore } from "../../src/sessions/keys/signing-key-store-sql.js";
import { SigningKeys } from "../../src/sessions/keys/signing-keys.js";

let server: PostgresServer;
let url: string;
let db: Database;

beforeAll(async () => {
  server = await PostgresServer.start();
  // As where nobody may make roles.
  await server.query(`ALTER ROLE ${SERVICE_ROLE} NOCREATEROLE`);
  url = await server.createDatabase();
  db = openPostgres({ url, poolMax: 2 });
});
afterAll(async () => {
  await db.close();
  await server.close();
});

/** The block of SQL in a document that contains a text. */
async function documentedSql(path: string, containing: string): Promise<string> {
  const document = await readFile(join(repositoryRoot(), path), "utf8");
  const blocks = [...document.matchAll(/^```sql\n([^]*?)^```$/gm)].map(([, sql = ""]) => sql);
  const found = blocks.find((sql) => sql.includes(containing));
  if (found === undefined) throw new Error(`${path} has no SQL with ${containing}`);
  return found;
}

function keysWith(secret: Uint8Array): SigningKeys {
  return new SigningKeys({
    store: new SqlSigningKeyStore(db),
    clock: systemClock,
    issuer: "https://login.example.com",
    audience: "https://api.example.com",
    secret,
    rotationS: 86_400,
    prepublishS: 3600,
    tokenLifetimeS: 600,
    skewS: 5,
  });
}

describe("the documents' SQL", () => {
  it("lets the service make its tables where it may make no roles", async () => {
    await expect(db.migrate()).rejects.toMatchObject({ code: "not_allowed" });
    await server.query(await documentedSql("docs/deployment.md", "CREATE ROLE sekisho_tenant"));
    await db.migrate();
  });

  it("makes a role and a database that are enough where the other roles are there", async () => {
    const sql = await documentedSql("docs/deployment.md", "CREATEROLE PASSWORD");
    const own = sql.replaceAll(/\bsekisho\b/g, "another");
    for (const statement of own.split(";").filter((text) => text.trim() !== "")) {
      await server.query(statement);
    }
    // The roles are the server's, and the first database's owner has them already.
    const others = await documentedSql("docs/deployment.md", "GRANT sekisho_tenant");
    const [grant = ""] = /^GRANT [^;]*;/m.exec(others) ?? [];
    await server.query(grant.replace("TO sekisho", "TO another"));
    const another = openPostgres({ url: server.url("another", "another"), poolMax: 1 });
    try {
      await another.migrate();
    } finally {
      await another.close();
    }
  });

  it("deletes signing keys whose secret was lost, and new ones are made", async () => {
    const before = keysWith(randomBytes(32));
    await before.start();
    await before.close();
    const after = keysWith(randomBytes(32));
    await expect(after.start()).rejects.toMatchObject({ code: "wrong_secret" });
    const asTheService = new Client({ connectionString: url });
    await asTheService.connect();
    try {
      await asTheService.query(await documentedSql("docs/operations.md", "DELETE FROM"));
    } finally {
      await asTheService.end();
    }
    await after.start();
    expect(after.jwks().keys).toHaveLength(1);
    expect(after.jwks()).not.toEqual(before.jwks());
    await after.close();
  });
});
