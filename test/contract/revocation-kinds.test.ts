/** Every kind of revocation in the database and the log: stored, restored, imported. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import { nextSecond } from "../../src/runtime/clock.js";
import type { Revocation } from "../../src/revocation-log/entry.js";
import { liftRevokedKey, recordRevokedKey } from "../../src/sessions/outbox/revoked-keys-sql.js";
import {
  recordRevocations,
  recordTenantOf,
} from "../../src/sessions/outbox/revocation-record-sql.js";
import {
  decidedAfter,
  findRevocation,
  pendingAfter,
} from "../../src/sessions/outbox/stored-revocations-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { everyRevocation } from "../support/every-revocation.js";
import { follow, redis, REQUIRED } from "../support/following.js";
import {
  databasePublisher,
  decided,
  emptyTables,
  rows,
  seeLog,
  startRelaying,
  tenantRows,
  type Relaying,
} from "../support/relaying.js";

const CASES = Object.entries(everyRevocation(1_700_000_000)).flatMap(([kind, some]) =>
  some.map((revocation, i): [string, Revocation] => [`${kind} ${i + 1}`, revocation]),
);
const ALL = CASES.map(([, revocation]) => revocation);
const KEY = {
  issuer: "https://issuer.example",
  thumbprint: "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
};

describe.each(DATABASES)("every kind of revocation, with $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    [started, server] = await Promise.all([start(), RedisServer.start()]);
    await started.database.transaction({ role: "operator" }, (queries) =>
      queries.execute(sql`INSERT INTO sekisho.tenants VALUES ('acme', 'Acme', now())`),
    );
  });
  beforeEach(async () => {
    await Promise.all([emptyTables(started.database), redis(server.url, "FLUSHALL")]);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  afterAll(() => Promise.all([started.stop(), server.close()]));

  const relay = (horizonS?: number): Relaying => {
    const change = horizonS === undefined ? {} : { horizonS };
    const one = startRelaying({ database: started.database, url: server.url, ...change });
    closing.push(one.close);
    return one;
  };
  const commitAs = (revocation: Revocation) =>
    started.database.transaction(
      { role: "tenant", tenant: recordTenantOf(revocation) },
      (queries) => recordRevocations(queries, [decided(revocation)]),
    );
  const breakGlass = async (...revocations: readonly Revocation[]) => {
    const glass = databasePublisher(server.url, true);
    closing.push(() => glass.close());
    for (const one of revocations) {
      const outcome = await glass.publish(decided(one, { reason: "leak", actor: "cli:ops" }));
      expect(outcome).toMatchObject({ published: true });
    }
  };
  const inLog = async () =>
    (await seeLog(server.url)).entries.flatMap((one) =>
      one.kind === "revocation" ? [one.revocation] : [],
    );
  const cutOffS = async (tenant: string) => {
    const query = sql`SELECT extract(epoch FROM issued_before)::float8 AS "s"
      FROM sekisho.cut_offs WHERE tenant_id = ${tenant}`;
    return Number((await rows(started.database, "relay", query))[0]?.["s"] ?? 0);
  };

  test.each(CASES)("%s is read back as it was recorded", async (_name, revocation) => {
    const [committed] = await commitAs(revocation);
    if (committed === undefined) throw new Error("nothing was recorded");
    const read = await started.database.transaction({ role: "relay" }, async (queries) => [
      await findRevocation(queries, recordTenantOf(revocation), committed.eventId),
      ...(await pendingAfter(queries, undefined, 10)),
      ...(await decidedAfter(queries, 0, undefined, 10)),
    ]);
    expect(read.map((one) => one?.revocation)).toEqual([revocation, revocation, revocation]);
  });

  test("a restore of the log publishes each again", async () => {
    for (const one of ALL) await commitAs(one);
    const { untilRestored } = relay();
    await untilRestored(1);
    expect(await inLog()).toEqual(ALL);
    await server.restart({ empty: true });
    await untilRestored(2);
    expect(await inLog()).toEqual(ALL);
  });

  test("each is imported once from the log, and kept when the log is restored", async () => {
    const { untilRestored, until, untilNextCycle, counts } = relay();
    await untilRestored(1);
    const before = nextSecond(Date.now());
    await breakGlass(...ALL);
    await until("the import", () => counts.imported === ALL.length);
    await until("publishing", () => counts.published === ALL.length);
    await untilNextCycle();
    expect(counts.imported).toBe(ALL.length);
    await server.restart({ empty: true });
    await untilRestored(2);
    const kept = await inLog();
    expect(kept).toHaveLength(ALL.length);
    for (const revocation of ALL) {
      const issuedBefore = expect.any(Number);
      const isCutOff = revocation.kind === "tenant_revoked" || revocation.kind === "all_revoked";
      expect(kept).toContainEqual(isCutOff ? { ...revocation, issuedBefore } : revocation);
    }
    const counted = kept.flatMap((one) =>
      one.kind === "tenant_revoked" || one.kind === "all_revoked" ? [one.issuedBefore] : [],
    );
    expect(Math.min(...counted)).toBeGreaterThanOrEqual(before);
    const found = [await cutOffS("acme"), await cutOffS("")];
    expect([...found].sort()).toEqual([...counted].sort());
    const keys = await rows(started.database, "relay", sql`SELECT * FROM sekisho.revoked_keys`);
    expect(keys).toMatchObject([{ ...KEY, actor: "cli:ops", reason: "leak", lifted_at: null }]);
  });

  test("what it imports is in the trail of the tenant that it names, else the operators'", async () => {
    const { untilRestored, until, counts } = relay();
    await untilRestored(1);
    await breakGlass(...ALL);
    await until("the import", () => counts.imported === ALL.length);
    const kindsIn = async (tenant: string) => {
      const query = sql`SELECT detail->>'kind' AS "kind" FROM sekisho.audit
        WHERE kind = 'revocation_imported' ORDER BY audit_id DESC LIMIT ${ALL.length}`;
      return new Set((await tenantRows(started.database, tenant, query)).map((row) => row["kind"]));
    };
    const kindsOf = (named: boolean) =>
      new Set(
        ALL.filter((one) => (recordTenantOf(one) === "acme") === named).map(({ kind }) => kind),
      );
    expect(await kindsIn("acme")).toEqual(kindsOf(true));
    expect(await kindsIn("sekisho")).toEqual(kindsOf(false));
  });

  test("a revoked key stays refused past the horizon, until it is lifted", async () => {
    const horizonS = 2;
    const asOperator = { role: "tenant", tenant: "sekisho" } as const;
    const { untilRestored, until } = relay(horizonS);
    await untilRestored(1);
    const node = follow(server.url, { required: { ...REQUIRED, horizonS } });
    closing.push(() => node.follower.close());
    await started.database.transaction(asOperator, (queries) =>
      recordRevokedKey(queries, KEY, {
        atMs: Date.now(),
        actor: "user:sekisho/op",
        reason: "leak",
      }),
    );
    await commitAs({ kind: "key_revoked", ...KEY });
    const sinceMs = Date.now();
    await until("three horizons to pass", () => Date.now() > sinceMs + 3 * horizonS * 1000);
    const applied = node.applied.flatMap((one) =>
      one.kind === "revocation" && one.revocation.kind === "key_revoked" ? [one] : [],
    );
    expect(applied.length).toBeGreaterThan(3);
    applied.reduce((before, one) => {
      expect(one.atMs).toBeLessThan(before.forgetAtMs);
      return one;
    });
    expect(
      await started.database.transaction(asOperator, (queries) =>
        liftRevokedKey(queries, KEY, Date.now()),
      ),
    ).toBe("lifted");
    const atLift = await rows(started.database, "relay", KEY_ROWS);
    const liftedMs = Date.now();
    await until("another horizon to pass", () => Date.now() > liftedMs + horizonS * 1000);
    expect(await rows(started.database, "relay", KEY_ROWS)).toEqual(atLift);
  });

  test("a key revoked longer ago than the horizon is in a log that is restored", async () => {
    await started.database.transaction({ role: "tenant", tenant: "sekisho" }, (queries) =>
      recordRevokedKey(queries, KEY, { atMs: 1000, actor: "user:sekisho/op", reason: undefined }),
    );
    await relay().untilRestored(1);
    expect(await inLog()).toEqual([{ kind: "key_revoked", ...KEY }]);
  });
});

const KEY_ROWS = sql`SELECT event_id::text AS "id" FROM sekisho.revocations
  WHERE kind = 'key_revoked' ORDER BY 1`;
