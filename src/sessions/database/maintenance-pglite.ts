/**
 * The work of PostgreSQL's background processes, which PGlite lacks. Without it, the write-ahead
 * log would grow until the next restart, which would have to replay all of it, and the space of
 * deleted and replaced rows would never be reused.
 */
import type { PGlite } from "@electric-sql/pglite";

/** Transactions between two rounds; a round with nothing to do takes a few milliseconds. */
export const MAINTENANCE_EVERY = 2000;

/** autovacuum's defaults: 50 rows and a fifth of the table. */
const NEEDY_TABLES = `
  SELECT format('%I.%I', schemaname, relname) AS name FROM pg_stat_user_tables
  WHERE n_dead_tup > 50 + 0.2 * n_live_tup OR n_mod_since_analyze > 50 + 0.1 * n_live_tup`;

/** The steps of one round. Nothing else runs during a step, so each has to be short. */
export async function maintenanceSteps(client: PGlite): Promise<readonly string[]> {
  const { rows } = await client.query<{ name: string }>(NEEDY_TABLES);
  return ["CHECKPOINT", ...rows.map(({ name }) => `VACUUM (ANALYZE) ${name}`)];
}
