/**
 * A migrated PGlite folder to copy. Making one takes seconds (it compiles PostgreSQL and runs
 * initdb), a copy takes tenths of one; so it is made once per set of migrations and kept.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { repositoryRoot } from "../../dev/repository.js";
import { openPglite } from "../../src/sessions/database/database-pglite.js";
import { migrationsFolder } from "../../src/sessions/database/migrations-sql.js";

const run = promisify(execFile);

/** Nobody copies one of other migrations for as long as that. */
const KEPT_MS = 24 * 60 * 60 * 1000;
const COPY_TIMEOUT_MS = 30_000;

/** Copies the template to `folder`, which must not be there. */
export async function copyPgliteTemplate(folder: string): Promise<void> {
  // cp takes half as long as Node's own copying of a thousand small files.
  await run("cp", ["-R", await providedTemplate(), folder], { timeout: COPY_TIMEOUT_MS });
}

/** Several test runs may look for it at once: whoever has made one first gives it to all. */
async function providedTemplate(): Promise<string> {
  const cache = join(repositoryRoot(), "node_modules", ".cache", "sekisho-pglite");
  const template = join(cache, ingredients());
  if (existsSync(template)) return template;
  await mkdir(cache, { recursive: true });
  await removeOld(cache);
  const making = await mkdtemp(join(cache, "making-"));
  try {
    const database = await openPglite(join(making, "data"), { sync: () => undefined });
    try {
      await database.migrate();
    } finally {
      await database.close();
    }
    await rename(join(making, "data"), template).catch((error: unknown) => {
      if (!existsSync(template)) throw error;
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return template;
}

/** What the template is made of, as a name. */
function ingredients(): string {
  const hash = createHash("sha256");
  const migrations = migrationsFolder();
  const files = [
    join(repositoryRoot(), "node_modules", "@electric-sql", "pglite", "package.json"),
    join(repositoryRoot(), "src", "sessions", "database", "data-directory.ts"),
    ...readdirSync(migrations, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(sql|json)$/.test(name))
      .sort()
      .map((name) => join(migrations, name)),
  ];
  for (const file of files) hash.update(file).update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

async function removeOld(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const folder = join(cache, name);
    const found = await stat(folder).catch(() => undefined);
    if (found === undefined || Date.now() - found.mtimeMs < KEPT_MS) continue;
    await rm(folder, { recursive: true, force: true });
  }
}
