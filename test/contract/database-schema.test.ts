/** The tables as src/sessions/database/schema-sql.ts describes them are those that the migrations make. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { getTableConfig, PgTable } from "drizzle-orm/pg-core";

import * as schema from "../../src/sessions/database/schema-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { asOwner, rowsOf } from "../support/row-security.js";

const MIGRATED = `
  SELECT c.relname::text AS table, a.attname::text AS column, NOT a.attnotnull AS nullable,
    format_type(CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE a.atttypid END, a.atttypmod) AS type,
    a.atthasdef OR a.attidentity <> '' AS filled, coalesce(a.attnum = ANY (k.conkey), false) AS key
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
  WHERE c.relnamespace = 'sekisho'::regnamespace AND c.relkind = 'r'`;

/** What queries rely on, of every column. */
function described() {
  return Object.values(schema).flatMap((table) => {
    if (!(table instanceof PgTable)) return [];
    const { name, columns, primaryKeys } = getTableConfig(table);
    const keys = primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
    return columns.map((column) => ({
      table: name,
      column: column.name,
      nullable: !column.notNull,
      type: column.getSQLType().replace(" (", "("),
      filled: column.hasDefault || column.generatedIdentity !== undefined,
      key: column.primary || keys.includes(column.name),
    }));
  });
}

const byName = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  Object.fromEntries(rows.map((row) => [`${String(row["table"])}.${String(row["column"])}`, row]));

describe.each(DATABASES)("on $name", ({ start }) => {
  let started: StartedDatabase;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started.stop();
  });

  test("the migrated tables have the columns that queries are made with, and no others", async () => {
    const migrated = await asOwner(started.database, (queries) => rowsOf(queries, MIGRATED));
    expect(migrated.length).toBeGreaterThan(50);
    expect(byName(migrated)).toEqual(byName(described()));
  });
});
