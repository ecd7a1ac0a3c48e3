/** What src/database/database.ts promises, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { tenants } from "../../src/database/schema-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";

describe.each(DATABASES)("$name", ({ start }) => {
  let started: StartedDatabase;
  beforeAll(async () => {
    started = await start();
  });
  afterAll(async () => {
    await started.stop();
  });

  test("keeps what was committed when it is opened again", async () => {
    const row = { tenantId: "kept", name: "Kept", createdAt: new Date(0) };
    await started.database.transaction({ role: "operator" }, async (queries) => {
      await queries.insert(tenants).values(row);
    });
    const database = await started.reopen();
    const found = await database.transaction({ role: "operator" }, (queries) =>
      queries.select().from(tenants),
    );
    expect(found).toContainEqual(row);
  });
});
