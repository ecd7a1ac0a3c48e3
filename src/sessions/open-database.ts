import type { DatabaseLocation } from "./sessions-config.js";
import type { Database } from "./database/database.js";

/**
 * Only what is asked for is loaded. Rejects with a DatabaseError where the folder cannot be had;
 * PostgreSQL may be away.
 */
export async function openDatabase(place: DatabaseLocation): Promise<Database> {
  if (place.kind === "folder") {
    const { openPglite } = await import("./database/database-pglite.js");
    return openPglite(place.path);
  }
  const { openPostgres } = await import("./database/database-postgres.js");
  return openPostgres({ url: place.url, poolMax: place.poolMax });
}
