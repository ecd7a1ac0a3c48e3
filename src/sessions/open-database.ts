import type { DatabaseLocation } from "./sessions-config.js";
import type { Database } from "./database/database.js";

/**
 * Loads only the adapter that is used. Rejects with a DatabaseError if the folder cannot be used;
 * PostgreSQL may be unreachable.
 */
export async function openDatabase(location: DatabaseLocation): Promise<Database> {
  if (location.kind === "folder") {
    const { openPglite } = await import("./database/database-pglite.js");
    return openPglite(location.path);
  }
  const { openPostgres } = await import("./database/database-postgres.js");
  return openPostgres({ url: location.url, poolMax: location.poolMax });
}
