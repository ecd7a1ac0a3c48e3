/** PGlite's folder: one program at a time, whole or not at all, and what is committed stays. */
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { randomInt } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";

import { StartedProcess } from "../../dev/child-process.js";
import { waitUntil } from "../../dev/wait-for.js";
import { repositoryRoot } from "../../dev/repository.js";
import { openDataDirectory } from "../../src/sessions/database/data-directory.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPglite } from "../../src/sessions/database/database-pglite.js";
import { lockFolder, type FolderLock } from "../../src/sessions/database/folder-lock.js";
import { reportMeasured } from "../support/e2e-report.js";
import { copyPgliteTemplate } from "../support/pglite-template.js";
import { asOwner, rowsOf } from "../support/row-security.js";

const CHILD = join(repositoryRoot(), "test", "support", "pglite-child.mjs");
/** The first start makes the database, which takes seconds, more on a busy machine. */
const LINE_TIMEOUT_MS = 300_000;

let parent: string;
let folder: string;
const opened: Database[] = [];
const children: StartedProcess[] = [];
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-folder-"));
  folder = join(parent, "data");
});
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()));
  await Promise.all(opened.splice(0).map((database) => database.close()));
  await rm(parent, { recursive: true, force: true });
});

async function open(path = folder): Promise<Database> {
  const database = await openPglite(path, { sync: () => undefined });
  opened.push(database);
  return database;
}

function startChild(run = "child"): StartedProcess {
  const child = new StartedProcess({
    name: "pglite-child",
    file: process.execPath,
    args: [CHILD, folder, run],
  });
  children.push(child);
  return child;
}

/** Waits for a line that begins so. */
const reach = (child: StartedProcess, start: string) =>
  child.waitForLine((line) => (line.startsWith(start) ? line : undefined), {
    what: `"${start}"`,
    timeoutMs: LINE_TIMEOUT_MS,
  });

describe("a folder that a program has", () => {
  beforeEach(async () => copyPgliteTemplate(folder));

  test("is refused to others by name, under any path, until it is closed", async () => {
    const first = await open();
    const link = join(parent, "link");
    await symlink(folder, link);
    for (const path of [folder, link]) {
      await expect(open(path)).rejects.toMatchObject({ code: "in_use" });
    }
    await expect(open()).rejects.toThrow(
      `another process is using the data folder ${folder}: only one instance can; for several, set SEKISHO_DATABASE_URL`,
    );
    await first.ping();
    await first.close();
    await open();
  });

  test("is refused while that program is stopped, and free as soon as it was killed", async () => {
    const child = startChild();
    await reach(child, "committed");
    await expect(open()).rejects.toMatchObject({ code: "in_use" });
    child.pause();
    await expect(open()).rejects.toMatchObject({ code: "in_use" });
    await child.kill();
    await (await open()).ping();
    expect((await readdir(folder)).sort()).toEqual([expect.stringMatching(/^lock-/), "postgres"]);
  });

  test("is refused to a second program, which ends by saying so", async () => {
    await open();
    const child = startChild();
    expect(await reach(child, "failed")).toContain(`failed in_use another process is using`);
    expect(await child.exited).toMatchObject({ code: 1 });
  });
});

test("of many that want a folder at the same moment, one gets it", async () => {
  await mkdir(folder);
  for (let round = 1; round <= 3; round += 1) {
    let held: readonly FolderLock[] = [];
    // On a machine that crawls all of them may see each other every time and withdraw.
    for (let attempt = 1; attempt <= 10 && held.length === 0; attempt += 1) {
      const locks = await Promise.all(Array.from({ length: 6 }, () => lockFolder(folder)));
      held = locks.filter((lock) => lock !== undefined);
    }
    expect(held).toHaveLength(1);
    expect(await readdir(folder)).toHaveLength(1);
    await Promise.all(held.map((lock) => lock.release()));
    expect(await readdir(folder)).toEqual([]);
  }
});

describe("a new folder", () => {
  test("is made for its owner alone, however long its path is", async () => {
    folder = join(parent, "long".repeat(30), "long".repeat(30));
    await open();
    for (const path of [folder, join(folder, "postgres")]) {
      expect((await stat(path)).mode & 0o777).toBe(0o700);
    }
  });

  test("may be the top of a volume of its own", async () => {
    await mkdir(join(folder, "lost+found"), { recursive: true });
    await mkdir(join(folder, "making-of-one-that-was-killed", "base"), { recursive: true });
    // Quicker than making a database, which the test above does.
    const make = (empty: string) => writeFile(join(empty, "PG_VERSION"), "18\n");
    const directory = await openDataDirectory(folder, make, () => undefined);
    expect((await readdir(folder)).sort()).toEqual([
      expect.stringMatching(/^lock-/),
      "lost+found",
      "postgres",
    ]);
    await directory.close();
  });
});

describe("a folder that cannot be used", () => {
  const refusal = async () => {
    const error: unknown = await open().catch((caught: unknown) => caught);
    expect(error).toMatchObject({ name: "DatabaseError", code: "data_folder" });
    return String(error);
  };

  test("is told where it is a file", async () => {
    await writeFile(folder, "");
    expect(await refusal()).toContain(`the data folder ${folder} cannot be used: EEXIST`);
  });

  test("is told where it cannot be made", async () => {
    await writeFile(join(parent, "file"), "");
    folder = join(parent, "file", "data");
    expect(await refusal()).toContain(`the data folder ${folder} cannot be used: ENOTDIR`);
  });

  test("is told where it may not be written", async () => {
    // For root nothing is forbidden, except by the system itself.
    const asRoot = process.getuid?.() === 0;
    folder = asRoot ? "/proc" : folder;
    if (!asRoot) {
      await mkdir(folder);
      await chmod(folder, 0o500);
    }
    expect(await refusal()).toContain(folder);
  });

  test("is told where it holds other files, which stay as they are", async () => {
    await mkdir(folder);
    await writeFile(join(folder, "thesis.txt"), "chapter one");
    expect(await refusal()).toContain(`holds other files ("thesis.txt") and no database`);
    expect(await readdir(folder)).toEqual(["thesis.txt"]);
  });

  test("is told where the database in it is not whole, which stays as it is", async () => {
    await copyPgliteTemplate(folder);
    await rm(join(folder, "postgres", "PG_VERSION"));
    expect(await refusal()).toContain(`"postgres" in the data folder ${folder} is not a database`);
    await writeFile(join(folder, "postgres", "PG_VERSION"), "9\n");
    expect(await refusal()).toContain(`${folder}/postgres cannot be opened`);
    await writeFile(join(folder, "postgres", "PG_VERSION"), "18\n");
    await open();
  });
});

describe("killed at any moment", () => {
  test("it starts although it had just begun to write down its process id", async () => {
    await copyPgliteTemplate(folder);
    await writeFile(join(folder, "postgres", "postmaster.pid"), "");
    await open();
  });

  test("it starts again with everything that was committed, and nothing by half", async () => {
    const committed: string[] = [];
    let rss = "";
    const kills: Record<string, number> = {};
    /** Ends a program at a random moment after it has said `after`. */
    const killAfter = async (after: string, withinMs: number, what: string) => {
      const run = `${what}${(kills[what] = (kills[what] ?? 0) + 1)}`;
      const child = startChild(run);
      const forget = child.onLine((line) => {
        const [word, id = "", , megabytes = ""] = line.split(" ");
        if (word === "committed") [rss] = [megabytes, committed.push(id)];
      });
      await reach(child, after);
      const moment = performance.now() + randomInt(withinMs);
      const bounds = { what: "a random moment", timeoutMs: 2 * withinMs, everyMs: 1 };
      await waitUntil(() => performance.now() >= moment, bounds);
      await child.kill();
      forget();
      expect(child.lines.filter((line) => !/^(started|opened|migrated|comm)/.test(line))).toEqual(
        [],
      );
    };
    for (let kill = 1; kill <= 2; kill += 1) await killAfter("started", 2500, "making");
    for (let kill = 1; kill <= 2; kill += 1) await killAfter("opened", 120, "migrating");
    for (let kill = 1; kill <= 2; kill += 1) await killAfter("committed", 150, "writing");
    for (let kill = 1; kill <= 3; kill += 1) await killAfter("started", 500, "recovering");
    for (let kill = 1; kill <= 3; kill += 1) await killAfter("committed", 150, "writing");

    const database = await open();
    await database.migrate();
    const found = await asOwner(database, async (queries) => ({
      tenants: await rowsOf(
        queries,
        "SELECT tenant_id AS id FROM sekisho.tenants WHERE name = 'A tenant'",
      ),
      audited: await rowsOf(queries, "SELECT tenant_id AS id FROM sekisho.audit"),
    }));
    const ids = (rows: readonly Readonly<Record<string, unknown>>[]) =>
      rows.map(({ id }) => String(id)).sort();
    // One for each run that was killed while it wrote, if the machine is as slow as that.
    expect(committed.length).toBeGreaterThanOrEqual(kills["writing"] ?? Infinity);
    expect(ids(found.tenants)).toEqual(expect.arrayContaining(committed));
    expect(ids(found.audited)).toEqual(ids(found.tenants));
    expect((await readdir(folder)).sort()).toEqual([expect.stringMatching(/^lock-/), "postgres"]);
    const counts = Object.entries(kills).map(([what, count]) => `${count} ${what}`);
    reportMeasured(
      `killed ${counts.join(", ")}; ${committed.length} of ${committed.length} commits there; RSS ${rss} MB`,
    );
  }, 900_000);
});
