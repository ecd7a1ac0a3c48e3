/** What PGlite needs from us: commits on disk, bounds on waiting, and maintenance. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";

import { waitUntil } from "../../dev/wait-for.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPglite, type PgliteOptions } from "../../src/sessions/database/database-pglite.js";
import { copyPgliteTemplate } from "../support/pglite-template.js";
import { asOwner, rowsOf } from "../support/row-security.js";

let parent: string;
let database: Database | undefined;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "sekisho-pglite-"));
});
afterEach(async () => {
  await database?.close();
  await rm(parent, { recursive: true, force: true });
});

async function open(options: PgliteOptions): Promise<Database> {
  const folder = join(parent, "data");
  await copyPgliteTemplate(folder);
  database = await openPglite(folder, options);
  return database;
}

const nothing = () => undefined;

const add = (one: Database, id: string) =>
  one.transaction({ role: "operator" }, (queries) =>
    queries.execute(sql`INSERT INTO sekisho.tenants VALUES (${id}, 'Somebody', now())`),
  );

test("each commit is brought to disk before it is reported", async () => {
  let syncs = 0;
  const one = await open({ sync: () => void (syncs += 1) });
  for (const id of ["a", "b", "c"]) {
    const before = syncs;
    await add(one, id);
    expect(syncs).toBeGreaterThan(before);
  }
  const [setting] = await asOwner(one, (queries) => rowsOf(queries, "SHOW fsync"));
  expect(setting).toEqual({ fsync: "on" });
});

test("a full queue is refused at once, and waiting has an end", async () => {
  const one = await open({ queue: { queueMax: 2, waitMaxMs: 100 }, sync: nothing });
  let letGo: () => void = nothing;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  const holder = one.transaction({ role: "operator" }, () => held);
  const waiting = [add(one, "a"), add(one, "b")].map((act) => act.catch((error: unknown) => error));
  await waitUntil(() => one.pool.waiting === 2, { what: "two wait", timeoutMs: 30_000 });
  expect(one.pool).toEqual({ max: 1, inUse: 1, idle: 0, waiting: 2 });
  await expect(one.ping()).rejects.toMatchObject({ code: "unavailable" });
  for (const one of await Promise.all(waiting)) expect(one).toMatchObject({ code: "unavailable" });
  letGo();
  await holder;
  await add(one, "a");
});

test("rows that were replaced make room for others, and the log is cut off", async () => {
  const one = await open({ maintenanceEvery: 100, sync: nothing });
  const checkpoint = async () => {
    const [found] = await asOwner(one, (queries) =>
      rowsOf(queries, "SELECT redo_lsn::text AS lsn FROM pg_control_checkpoint()"),
    );
    return found?.["lsn"];
  };
  await one.transaction({ role: "relay" }, (queries) =>
    queries.execute(sql`INSERT INTO sekisho.log_records (partition, seq) VALUES (0, 0)`),
  );
  const before = await checkpoint();
  for (let number = 1; number <= 300; number += 1) {
    await one.transaction({ role: "relay" }, (queries) =>
      queries.execute(sql`UPDATE sekisho.log_records SET seq = ${number}`),
    );
  }
  await waitUntil(
    async () => {
      const [found] = await asOwner(one, (queries) =>
        rowsOf(
          queries,
          "SELECT vacuum_count + 0 AS vacuums FROM pg_stat_user_tables WHERE relname = 'log_records'",
        ),
      );
      return Number(found?.["vacuums"]) > 0;
    },
    { what: "the table was vacuumed", timeoutMs: 60_000 },
  );
  expect(await checkpoint()).not.toBe(before);
});
