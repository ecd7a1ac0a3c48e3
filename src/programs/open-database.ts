import type { DatabasePlace } from "../config/sessions-config.js";
import { openPglite } from "../database/database-pglite.js";
import { openPostgres } from "../database/database-postgres.js";
import type { Database } from "../database/database.js";

/** Rejects with a DatabaseError where the folder cannot be had; PostgreSQL may be away. */
export async function openDatabase(place: DatabasePlace): Promise<Database> {
  return place.kind === "folder"
    ? openPglite(place.path)
    : openPostgres({ url: place.url, poolMax: place.poolMax });
}
