/** Finds the migrations and checks whether the tables are newer than this program. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { z } from "zod";
import { DatabaseError } from "./database.js";
import type { Queries } from "./queries-sql.js";

/** Where drizzle's migrator records what it has applied. */
export const MIGRATIONS_TABLE = {
  migrationsSchema: "sekisho_migrations",
  migrationsTable: "applied",
};

const journalSchema = z.object({ entries: z.array(z.object({ when: z.number() })).min(1) });

const appliedSchema = z.array(z.object({ newest: z.coerce.number().nullable() })).length(1);

/** The folder beside `src/`, found from the sources and from the build output. */
export function migrationsFolder(): string {
  for (const path of ["../../../migrations", "../../../../migrations"]) {
    const folder = fileURLToPath(new URL(path, import.meta.url));
    if (existsSync(`${folder}/meta/_journal.json`)) return folder;
  }
  throw new DatabaseError(
    "unexpected",
    "the folder `migrations` is missing from this installation",
  );
}

/**
 * Throws if a newer version has changed the tables: it may rely on columns that this version does
 * not write.
 */
export async function refuseNewerSchema(queries: Queries): Promise<void> {
  const there = await queries.execute(
    sql`SELECT to_regclass('sekisho_migrations.applied') IS NOT NULL AS "there"`,
  );
  if (!z.object({ rows: z.tuple([z.object({ there: z.boolean() })]) }).parse(there).rows[0].there) {
    return;
  }
  const found = await queries.execute(
    sql`SELECT max(created_at) AS "newest" FROM sekisho_migrations.applied`,
  );
  const { rows } = z.object({ rows: appliedSchema }).parse(found);
  const newest = rows[0]?.newest ?? 0;
  const journal: unknown = JSON.parse(
    readFileSync(`${migrationsFolder()}/meta/_journal.json`, "utf8"),
  );
  const ours = Math.max(...journalSchema.parse(journal).entries.map(({ when }) => when));
  if (newest > ours) {
    throw new DatabaseError(
      "newer_schema",
      "a newer version of Sekisho has changed this database's tables: run that version, or restore a backup from before the upgrade",
    );
  }
}
