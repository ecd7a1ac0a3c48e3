/** What the relay does in the database, on both. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import { sessions, users } from "../../src/sessions/database/schema-sql.js";
import { follow, initLog, endOf, publish, redis, KEYS } from "../support/following.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import {
  commit,
  commitEnds,
  databasePublisher,
  decided,
  emptyTables,
  rows,
  seeLog,
  startRelaying,
  tenantRows,
  type Relaying,
} from "../support/relaying.js";

describe.each(DATABASES)("the relay with $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  let relaying: Relaying | undefined;

  /** The last row of the audit trail before the test. */
  let auditedBefore = 0;

  beforeAll(async () => {
    [started, server] = await Promise.all([start(), RedisServer.start()]);
    await started.database.transaction({ role: "operator" }, (queries) =>
      queries.execute(sql`INSERT INTO sekisho.tenants VALUES ('acme', 'Acme', now())`),
    );
  });
  beforeEach(async () => {
    await Promise.all([emptyTables(started.database), redis(server.url, "FLUSHALL")]);
    const trails = await Promise.all(
      ["sekisho", "acme", "unheard-of"].map((tenant) =>
        tenantRows(started.database, tenant, sql`SELECT max(audit_id) AS "id" FROM sekisho.audit`),
      ),
    );
    auditedBefore = Math.max(...trails.map((found) => Number(found[0]?.["id"] ?? 0)));
  });
  afterEach(async () => {
    await relaying?.close();
    relaying = undefined;
  });
  afterAll(() => Promise.all([started.stop(), server.close()]));

  const relay = (): Relaying => {
    relaying = startRelaying({ database: started.database, url: server.url });
    return relaying;
  };
  const record = async () => {
    const [row] = await rows(started.database, "relay", sql`SELECT * FROM sekisho.log_records`);
    return row;
  };
  const unpublished = async (): Promise<number> => {
    const found = await rows(
      started.database,
      "relay",
      sql`SELECT 1 FROM sekisho.revocations WHERE published_at IS NULL`,
    );
    return found.length;
  };
  const auditOf = (tenant: string, kind: string) =>
    tenantRows(
      started.database,
      tenant,
      sql`SELECT * FROM sekisho.audit WHERE kind = ${kind} AND audit_id > ${auditedBefore}
        ORDER BY audit_id`,
    );
  /** A user of acme with one open session per name. */
  const addUser = (user: string, epoch: number, ...names: readonly string[]) =>
    started.database.transaction({ role: "tenant", tenant: "acme" }, async (queries) => {
      const now = new Date();
      await queries.insert(users).values({
        tenantId: "acme",
        userId: user,
        login: user,
        role: "user",
        userEpoch: epoch,
        createdAt: now,
      });
      for (const sessionId of names) {
        await queries.insert(sessions).values({
          tenantId: "acme",
          sessionId,
          userId: user,
          deviceName: "",
          address: "",
          createdAt: now,
          lastUsedAt: now,
          lastUsedAddress: "",
          refreshGeneration: 0,
          idleExpiresAt: now,
          expiresAt: now,
          passwordChangeOnly: false,
        });
      }
    });
  const openSessions = async () => {
    const found = await tenantRows(
      started.database,
      "acme",
      sql`SELECT session_id FROM sekisho.sessions WHERE ended_at IS NULL ORDER BY session_id`,
    );
    return found.map((row) => row["session_id"]);
  };
  const epochOf = async (user: string) => {
    const query = sql`SELECT user_epoch FROM sekisho.users WHERE user_id = ${user}`;
    return Number((await tenantRows(started.database, "acme", query))[0]?.["user_epoch"]);
  };

  it("opens the log at the first start, covering everything", async () => {
    const { untilRestored, restores, relay: one } = relay();
    await untilRestored(1);
    expect(restores).toMatchObject([{ cause: "log_missing", seq: 1, entries: 0 }]);
    const { meta } = await seeLog(server.url);
    expect(meta).toMatchObject({ authority: "database", coversFromMs: 0, seq: 1 });
    expect(await record()).toMatchObject({ generation: meta.generation, covers_from: null });
    expect(await auditOf("sekisho", "log_restored")).toMatchObject([
      { reason: "log_missing", actor: "sekisho", detail: { entries: 0 } },
    ]);
    expect(one.status()).toMatchObject({ relaying: true, restores: 1 });
  });

  it("stamps the log of its database every second", async () => {
    const { untilRestored, until } = relay();
    await untilRestored(1);
    const keptAtMs = async (): Promise<number> => (await seeLog(server.url)).meta.keptAtMs ?? 0;
    const first = await keptAtMs();
    expect(Math.abs(Date.now() - first)).toBeLessThan(10_000);
    await until("two more stamps", async () => (await keptAtMs()) >= first + 1800);
  });

  it("leaves a retired log alone: neither stamped, nor restored, nor written to", async () => {
    const { untilRestored, until, problems, restores, untilNextCycle } = relay();
    await untilRestored(1);
    await redis(server.url, "HSET", KEYS.meta, "retired_at", String(Date.now()));
    await until("the relay to see it", () => problems.at(-1) === "log_retired");
    const before = await seeLog(server.url);
    await commitEnds(started.database, "a");
    // Restored at once if it were not retired.
    await redis(server.url, "HSET", KEYS.meta, "generation", "another");
    for (let cycle = 0; cycle < 12; cycle += 1) await untilNextCycle();
    const { meta, entries } = await seeLog(server.url);
    expect(meta).toEqual({ ...before.meta, generation: "another" });
    expect(entries).toEqual(before.entries);
    expect(restores).toHaveLength(1);
    await redis(server.url, "HSET", KEYS.meta, "generation", before.meta.generation);
    await redis(server.url, "HDEL", KEYS.meta, "retired_at");
    await until("what waited to be published", async () => (await unpublished()) === 0);
    await until("it to be stamped", async () => {
      const now = (await seeLog(server.url)).meta.keptAtMs ?? 0;
      return now > (before.meta.keptAtMs ?? 0);
    });
    expect(restores).toHaveLength(1);
  });

  it("publishes what is pending, oldest first, and records it", async () => {
    const { untilRestored, until, counts } = relay();
    await untilRestored(1);
    const [a, b] = [decided(endOf("a")), decided(endOf("b"), { atMs: Date.now() - 5000 })];
    await commit(started.database, a, b);
    await until("both to be recorded", async () => (await unpublished()) === 0);
    // The relay counts them once they are recorded.
    await until("both to be counted", () => counts.published === 2);
    const { eventIds, meta } = await seeLog(server.url);
    expect([...eventIds].sort()).toEqual([a.eventId, b.eventId].sort());
    await until("the record to follow", async () => Number((await record())?.["seq"]) === meta.seq);
  });

  it("imports what was published past the service, and ends what it names", async () => {
    await addUser("ann", 3, "ann-1", "ann-2");
    await addUser("bob", 7, "bob-1");
    await addUser("cid", 0, "cid-1");
    await addUser("dan", 0, "dan-1", "dan-2");
    const { untilRestored, until, counts } = relay();
    await untilRestored(1);
    const glass = databasePublisher(server.url, true);
    const acme = { tenant: "acme" } as const;
    const none = { epoch: undefined, issuedBefore: undefined };
    const raised = { kind: "user_revoked", ...acme, ...none } as const;
    const all = [
      decided({ ...raised, user: "ann", epoch: 9 }, { reason: "stolen", actor: "cli:ops" }),
      // An epoch that bob has passed long ago.
      decided({ ...raised, user: "bob", epoch: 7 }),
      decided({ ...raised, user: "cid", issuedBefore: Math.ceil(Date.now() / 1000) + 2 }),
      decided(endOf("dan-1")),
      decided(endOf("of-nobody", "unheard-of")),
    ];
    for (const one of all) expect(await glass.publish(one)).toMatchObject({ published: true });
    glass.close();
    await until("the import", () => counts.imported === all.length);
    expect(await openSessions()).toEqual(["bob-1", "dan-2"]);
    expect(await Promise.all(["ann", "bob", "cid"].map(epochOf))).toEqual([9, 7, 0]);
    const trail = await auditOf("acme", "revocation_imported");
    expect(trail).toHaveLength(4);
    expect(trail[0]).toMatchObject({
      user_id: "ann",
      event_id: all[0]?.eventId,
      reason: "stolen",
      detail: { break_glass: true, published_by: "cli:ops" },
    });
    expect(await auditOf("unheard-of", "revocation_imported")).toMatchObject([
      { session_id: "of-nobody" },
    ]);
    // And they are part of what is restored, with the session that a cut-off has ended.
    await until("publishing", async () => (await unpublished()) === 0);
    await server.restart({ empty: true });
    await relaying?.untilRestored(2);
    const { eventIds } = await seeLog(server.url);
    expect(eventIds).toHaveLength(all.length + 1);
    expect(eventIds).toEqual(expect.arrayContaining(all.map(({ eventId }) => eventId)));
    expect(counts.imported).toBe(all.length);
  });

  it("revokes what a cut-off has ended by session, too, for it may have been refreshed since", async () => {
    await addUser("eve", 0, "eve-1", "eve-2");
    const { untilRestored, until } = relay();
    await untilRestored(1);
    // Nobody imports it while the service is away; then eve refreshes before the relay comes to it.
    await relaying?.close();
    relaying = undefined;
    const glass = databasePublisher(server.url, true);
    const issuedBefore = Math.ceil(Date.now() / 1000);
    const eve = { kind: "user_revoked", tenant: "acme", user: "eve", epoch: undefined } as const;
    expect(await glass.publish(decided({ ...eve, issuedBefore }))).toMatchObject({
      published: true,
    });
    glass.close();
    const node = follow(server.url);
    try {
      relay();
      await node.until("both sessions", ({ knows }) => ["eve-1", "eve-2"].every(knows));
    } finally {
      await node.follower.close();
    }
    await until("publishing", async () => (await unpublished()) === 0);
    expect(await openSessions()).toEqual([]);
  });

  it("takes a log over that stood alone, with what is in it and what it covers", async () => {
    await initLog(server.url, { nothingWasRevoked: false });
    await publish(server.url, endOf("stood-alone"));
    const before = await seeLog(server.url);
    const { untilRestored, restores } = relay();
    await untilRestored(1);
    expect(restores[0]).toMatchObject({ cause: "authority_taken_over", imported: 1, entries: 1 });
    const { meta, eventIds } = await seeLog(server.url);
    expect(meta).toMatchObject({ authority: "database", coversFromMs: before.meta.coversFromMs });
    expect(eventIds).toEqual(before.eventIds);
    // It is still so after Redis has lost everything.
    await server.restart({ empty: true });
    await untilRestored(2);
    const again = await seeLog(server.url);
    expect(again.meta.coversFromMs).toBe(before.meta.coversFromMs);
    expect(again.eventIds).toEqual(before.eventIds);
  });

  it("takes over the log of a database that was lost", async () => {
    const first = startRelaying({ database: started.database, url: server.url });
    await first.untilRestored(1);
    await commitEnds(started.database, "a", "b");
    await first.until("publishing", () => first.counts.published === 2);
    await first.close();
    await emptyTables(started.database);
    const { untilRestored, restores } = relay();
    await untilRestored(1);
    expect(restores[0]).toMatchObject({ cause: "generation_differs", imported: 2, entries: 2 });
    expect((await seeLog(server.url)).meta.coversFromMs).toBe(0);
  });

  it("owns up to an entry that cannot be read, once", async () => {
    const { untilRestored, untilNextCycle, until, counts, restores } = relay();
    await untilRestored(1);
    const before = Date.now();
    await redis(server.url, "XADD", KEYS.log, "*", "what", "is this");
    await until("it to be seen", () => counts.unreadable === 1);
    await untilNextCycle();
    await commitEnds(started.database, "after-1");
    await until("another cycle", () => counts.published === 1);
    await redis(server.url, "XADD", KEYS.log, "*", "what", "is this, too");
    await until("that one to be seen", () => counts.unreadable === 2);
    await untilNextCycle();
    await commitEnds(started.database, "after-2");
    await until("yet another", () => counts.published === 2);
    expect(restores).toHaveLength(1);
    expect(await auditOf("sekisho", "revocation_imported")).toMatchObject([
      { outcome: "failed", reason: "unreadable_entry" },
      { outcome: "failed", reason: "unreadable_entry" },
    ]);
    await server.restart({ empty: true });
    await untilRestored(2);
    expect((await seeLog(server.url)).meta.coversFromMs).toBeGreaterThanOrEqual(before);
    expect(counts.unreadable).toBe(2);
  });

  it("imports an entry without a usable event id once, whatever is in its texts", async () => {
    const { untilRestored, untilNextCycle, until, counts } = relay();
    await untilRestored(1);
    const glass = databasePublisher(server.url, true);
    const odd = decided(endOf("odd"), { eventId: "not a uuid", reason: "nul \0 and \u{1F5DD}" });
    expect(await glass.publish(odd)).toMatchObject({ published: true });
    expect(await glass.publish({ ...odd, atMs: odd.atMs })).toMatchObject({ published: true });
    glass.close();
    await until("the import", () => counts.imported > 0);
    await untilNextCycle();
    expect(counts.imported).toBe(1);
  });
});
