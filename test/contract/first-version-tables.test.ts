/** What the migrations make of the tables of the first version, and of what was in them. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { PGlite } from "@electric-sql/pglite";
import { Client } from "pg";
import { z } from "zod";

import { PostgresServer } from "../../dev/postgres-server.js";
import { migrationsFolder } from "../../src/sessions/database/migrations-sql.js";

/** Those of the first version, and their SHA-256: what was released is never changed. */
const FIRST = {
  "0000_tables": "414c1896b32d21f22bbf4f55988697be990efc9308685642ac914fec75719dec",
  "0001_roles": "16dd06d5b11e87b3dd8cad7e98261f6b371004908340719456c42efeab061bcd",
};

interface OpenDatabase {
  /** As the role that the service connects as. */
  readonly migrate: (statement: string) => Promise<unknown>;
  /** As a superuser, who sees all rows. */
  readonly query: (statement: string) => Promise<readonly unknown[]>;
  readonly close: () => Promise<void>;
}

async function inPglite(): Promise<OpenDatabase> {
  const opened = await PGlite.create();
  return {
    migrate: (statement) => opened.exec(statement),
    query: async (statement) => (await opened.query(statement)).rows,
    close: () => opened.close(),
  };
}

async function inPostgres(): Promise<OpenDatabase> {
  const server = await PostgresServer.start();
  const database = "first";
  const client = new Client({ connectionString: await server.createDatabase(database) });
  await client.connect();
  return {
    migrate: (statement) => client.query(statement),
    query: (statement) => server.query(statement, { database }),
    close: async () => {
      await client.end();
      await server.close();
    },
  };
}

const read = (tag: string) => readFileSync(join(migrationsFolder(), `${tag}.sql`), "utf8");
const statementsOf = (tag: string) => read(tag).split("--> statement-breakpoint");
const journalSchema = z.object({ entries: z.array(z.object({ tag: z.string() })) });

/** In the order in which they are applied. */
function migrations(): readonly string[] {
  const journal: unknown = JSON.parse(
    readFileSync(join(migrationsFolder(), "meta", "_journal.json"), "utf8"),
  );
  return journalSchema.parse(journal).entries.map(({ tag }) => tag);
}

test("the migrations of the first version are those that it was released with", () => {
  const hashes = Object.keys(FIRST).map((tag) => [
    tag,
    createHash("sha256").update(read(tag)).digest("hex"),
  ]);
  expect(Object.fromEntries(hashes)).toEqual(FIRST);
  expect(migrations().slice(0, 2)).toEqual(Object.keys(FIRST));
});

/**
 * A session whose tokens 1a and 1b were given to two tabs that raced, as 2a and 2b were, and whose 3 was
 * taken back; and what was revoked, published and not.
 */
const ROWS = `
INSERT INTO sekisho.users (tenant_id, user_id, login, role, user_epoch, created_at)
  VALUES ('sekisho', 'ann', 'ann', 'operator', 4, now());
INSERT INTO sekisho.sessions VALUES ('sekisho', 's', 'ann', 'device', '::1', now(), now(), '::1', 2,
  '2026-01-01T00:00:20Z', now(), now(), false);
INSERT INTO sekisho.refresh_tokens
  SELECT 'sekisho', sha256(convert_to(name, 'UTF8')), 's', generation,
    timestamptz '2026-01-01T00:00:00Z' + make_interval(secs => after), now()
  FROM (VALUES ('0', 0, 0), ('1a', 1, 10), ('1b', 1, 11), ('2a', 2, 20), ('2b', 2, 21), ('3', 3, 30))
    AS given (name, generation, after);
INSERT INTO sekisho.log_records (partition, generation, seq) VALUES (0, 'g-1', 7);
INSERT INTO sekisho.revocations (tenant_id, event_id, partition, kind, user_id, epoch, at, origin, published_at)
  SELECT 'sekisho', gen_random_uuid(), 0, 'user_revoked', 'ann', epoch, now(), 'service', published_at
  FROM (VALUES (3, now()), (4, NULL)) AS revoked (epoch, published_at);`;

describe.each([
  { name: "PGlite", open: inPglite },
  { name: "PostgreSQL", open: inPostgres },
])("on $name", ({ open }) => {
  let database: OpenDatabase;
  beforeAll(async () => {
    database = await open();
    const [tables = "", roles = "", ...later] = migrations();
    for (const tag of [tables, roles])
      for (const one of statementsOf(tag)) await database.migrate(one);
    for (const row of ROWS.split(";\n")) await database.query(row);
    for (const tag of later) for (const one of statementsOf(tag)) await database.migrate(one);
  });
  afterAll(() => database.close());

  test("a refresh token is live if it was of the last generation, and knows its predecessor", async () => {
    const given = await database.query(`
      SELECT name, generation::int, predecessor::int, retries, successor_used,
        to_char(replaced_at AT TIME ZONE 'UTC', 'MI:SS') AS replaced
      FROM sekisho.refresh_tokens JOIN unnest(ARRAY['0', '1a', '1b', '2a', '2b', '3']) AS name
        ON token_hash = sha256(convert_to(name, 'UTF8')) ORDER BY name`);
    const unused = { retries: 0, successor_used: false };
    expect(given).toEqual([
      { name: "0", generation: 0, predecessor: null, replaced: "00:10", ...unused },
      { name: "1a", generation: 1, predecessor: 0, replaced: "00:20", ...unused },
      { name: "1b", generation: 2, predecessor: 0, replaced: "00:20", ...unused },
      { name: "2a", generation: 3, predecessor: 2, replaced: null, ...unused },
      { name: "2b", generation: 4, predecessor: 2, replaced: null, ...unused },
    ]);
    const newest = "SELECT refresh_generation::int AS newest FROM sekisho.sessions";
    expect(await database.query(newest)).toEqual([{ newest: 4 }]);
  });

  test("what was published stays so, at the log's last seq or before; the rest is pending", async () => {
    const published = await database.query(`
      SELECT epoch::int, published_at IS NOT NULL AS is_published, published_generation, published_seq::int
      FROM sekisho.revocations ORDER BY epoch`);
    const pending = { is_published: false, published_generation: null, published_seq: null };
    expect(published).toEqual([
      { epoch: 3, is_published: true, published_generation: "g-1", published_seq: 7 },
      { epoch: 4, ...pending },
    ]);
  });

  test("whether its seqs stand for one entry each is not known of a log of the first version", async () => {
    const inOrder = "SELECT in_order FROM sekisho.log_records";
    expect(await database.query(inOrder)).toEqual([{ in_order: false }]);
  });

  test("nothing counts as imported until the log has been searched", async () => {
    const record = `SELECT searched_timeline, extract(epoch FROM searched_at)::int AS searched_at
      FROM sekisho.log_records`;
    expect(await database.query(record)).toEqual([{ searched_timeline: "", searched_at: 0 }]);
  });

  test("row security is forced again in every table", async () => {
    const open = await database.query(`SELECT relname FROM pg_class
      WHERE relnamespace = 'sekisho'::regnamespace AND relkind = 'r'
        AND NOT (relrowsecurity AND relforcerowsecurity)`);
    expect(open).toEqual([]);
  });
});
