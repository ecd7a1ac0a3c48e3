/**
 * What PostgreSQL's background processes do elsewhere. PGlite has none: without this its write-ahead
 * log would grow until the next restart, which would then have to replay all of it, and rows that
 * were deleted or replaced would never make room for others.
 */
import type { PGlite } from "@electric-sql/pglite";

/** Transactions between two rounds; a round without need takes a few milliseconds. */
export const UPKEEP_EVERY = 2000;

/** As autovacuum does by default: 50 rows and a fifth of the table. */
const NEEDY_TABLES = `
  SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables
  WHERE n_dead_tup > 50 + 0.2 * n_live_tup OR n_mod_since_analyze > 50 + 0.1 * n_live_tup`;

/** The pieces of one round. Nothing else is done while one runs, so each is to be a short one. */
export async function upkeepSteps(client: PGlite): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(NEEDY_TABLES);
  return ["CHECKPOINT", ...rows.map(({ name }) => `VACUUM (ANALYZE) ${name}`)];
}
