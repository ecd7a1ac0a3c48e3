// A program that uses PGlite's folder until it is killed, and says what it has done: the compiled
// database, because tests run from the sources only inside jest.
import { sql } from "drizzle-orm";

import { openPglite } from "../../dist/src/sessions/database/database-pglite.js";

const [folder, run] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${line}\n`);

/** Nobody lets it run for that long. */
const TRANSACTIONS_MAX = 1_000_000;

try {
  say("started");
  // A kill takes nothing from the system's cache; only the power could, and the disk takes its time.
  const database = await openPglite(folder, { sync: () => undefined });
  say("opened");
  await database.migrate();
  say("migrated");
  for (let number = 1; number <= TRANSACTIONS_MAX; number += 1) {
    const id = `${run}-${number}`;
    await database.transaction({ role: "operator" }, async (queries) => {
      await queries.execute(
        sql`INSERT INTO sekisho.tenants VALUES (${id}, 'A tenant', '2027-01-15T08:00:00Z')`,
      );
      await queries.execute(
        sql`INSERT INTO sekisho.audit (tenant_id, at, kind, outcome, actor)
            VALUES (${id}, '2027-01-15T08:00:00Z', 'made', 'done', 'child')`,
      );
    });
    say(`committed ${id} rss ${Math.round(process.memoryUsage.rss() / 1e6)} MB`);
  }
} catch (error) {
  say(`failed ${error.code} ${error.message}`);
  process.exit(1);
}
