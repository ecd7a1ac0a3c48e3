/** What a request publishes at once, and what the database learns of it; and after-restore. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import { systemClock } from "../../src/runtime/clock.js";
import { afterRestore } from "../../src/sessions/outbox/after-restore.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import { redisConnections } from "../../src/revocation-log/connection-redis.js";
import { RedisNodeRows } from "../../src/revocation-log/node-rows-redis.js";
import type { Publisher } from "../../src/revocation-log/publisher.js";
import { ReceiptCollector } from "../../src/revocation-log/receipt.js";
import { follow, KEYS, redis } from "../support/following.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import {
  commitEnds,
  databasePublisher,
  emptyTables,
  rows,
  seeLog,
  startRelaying,
  tenantRows,
  type Relaying,
} from "../support/relaying.js";

describe.each(DATABASES)("the outbox with $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    [started, server] = await Promise.all([start(), RedisServer.start()]);
    await started.database.transaction({ role: "operator" }, (queries) =>
      queries.execute(
        sql`INSERT INTO sekisho.tenants VALUES ('acme', 'Acme', now()), ('b', 'B', now())`,
      ),
    );
  });
  beforeEach(async () => {
    await Promise.all([emptyTables(started.database), redis(server.url, "FLUSHALL")]);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  afterAll(() => Promise.all([started.stop(), server.close()]));

  const relay = (): Relaying => {
    const one = startRelaying({ database: started.database, url: server.url });
    closing.push(one.close);
    return one;
  };
  /** A log, and no relay that would do the outbox's work. */
  const openLog = async () => {
    const one = startRelaying({ database: started.database, url: server.url });
    await one.untilRestored(1);
    await one.close();
  };
  const outbox = (publisher: Publisher = databasePublisher(server.url)) => {
    const nodes = new RedisNodeRows(redisConnections({ url: server.url }), KEYS);
    const seen = { published: 0, left: Array.of<string>(), failed: 0 };
    const one = new LogOutbox({
      database: started.database,
      clock: systemClock,
      publisher,
      receipts: new ReceiptCollector(nodes, systemClock),
      observer: {
        onPublished: (count) => (seen.published += count),
        onLeft: (_count, code) => seen.left.push(code),
        onRecordingFailed: () => (seen.failed += 1),
      },
    });
    closing.push(
      () => publisher.close(),
      () => nodes.close(),
      () => one.close(),
    );
    const again = one.receiptAgain.bind(one);
    return { publish: one.publish.bind(one), again, close: () => one.close(), seen };
  };
  const pending = async () =>
    (
      await rows(
        started.database,
        "relay",
        sql`SELECT 1 FROM sekisho.revocations WHERE published_at IS NULL`,
      )
    ).length;

  it("publishes, records it, and answers which nodes have applied it", async () => {
    await openLog();
    const node = follow(server.url);
    closing.push(() => node.follower.close());
    await node.untilFresh();
    const { publish, close, seen } = outbox();
    const receipt = await publish(await commitEnds(started.database, "a", "b"), 20_000);
    expect(receipt).toMatchObject({ published: true, nodes: { pending: [], silent: [] } });
    expect(receipt.nodes?.applied).toHaveLength(1);
    expect(node.knows("a") && node.knows("b")).toBe(true);
    await close();
    expect(await pending()).toBe(0);
    const [record] = await rows(started.database, "relay", sql`SELECT * FROM sekisho.log_records`);
    expect(Number(record?.["seq"])).toBe((await seeLog(server.url)).meta.seq);
    expect(seen).toEqual({ published: 2, left: [], failed: 0 });
  });

  it("tells the receipt of an earlier revocation, and adds no entry", async () => {
    await openLog();
    const node = follow(server.url);
    closing.push(() => node.follower.close());
    await node.untilFresh();
    const { publish, again } = outbox();
    const [earlier] = await commitEnds(started.database, "a");
    if (earlier === undefined) throw new Error("nothing was committed");
    const ask = (waitMs: number) => again(earlier, { waitMs, actor: "user:acme/u" });
    expect(await ask(0)).toEqual({ published: false, code: "pending" });
    expect(await ask(60)).toEqual({ published: false, code: "pending" });
    const waiting = ask(20_000);
    await publish([earlier], 0);
    const receipt = await waiting;
    expect(receipt).toMatchObject({ published: true, nodes: { pending: [], silent: [] } });
    expect(receipt.nodes?.applied).toHaveLength(1);
    const { seq } = (await seeLog(server.url)).meta;
    expect(await ask(0)).toEqual({ published: true });
    expect((await ask(20_000)).nodes?.applied).toHaveLength(1);
    expect((await seeLog(server.url)).meta.seq).toBe(seq);
  });

  it("says nothing of nodes when nobody waits, and nothing at all needs no Redis", async () => {
    await openLog();
    const { publish } = outbox();
    expect(await publish(await commitEnds(started.database, "a"), 0)).toEqual({ published: true });
    expect(await publish([], 1000)).toEqual({ published: true });
  });

  it("leaves to the relay what it cannot publish, and says why", async () => {
    const { publish, seen } = outbox();
    const committed = await commitEnds(started.database, "a");
    expect(await publish(committed, 1000)).toEqual({ published: false, code: "log_missing" });
    expect(seen.left).toEqual(["log_missing"]);
    expect(await pending()).toBe(1);
    const one = relay();
    await one.untilRestored(1);
    await one.until("it to be recorded", async () => (await pending()) === 0);
    expect((await seeLog(server.url)).eventIds).toEqual([committed[0]?.eventId]);
  });

  it("answers many at once within a single timeout when Redis hangs", async () => {
    await openLog();
    const asTheService = redisConnections({ url: server.url });
    const { publish } = outbox(databasePublisher(server.url, false, asTheService));
    expect(await publish(await commitEnds(started.database, "a"), 0)).toEqual({ published: true });
    const committed = await commitEnds(
      started.database,
      ...Array.from({ length: 200 }, (_, i) => `hung-${i}`),
    );
    server.pause();
    try {
      const fromMs = performance.now();
      const receipts = await Promise.all(committed.map((one) => publish([one], 0)));
      // One takes two seconds, and not more than 32 are under way: seven one after the other.
      expect(performance.now() - fromMs).toBeLessThan(10_000);
      expect(new Set(receipts.map(({ code }) => code))).toEqual(new Set(["unreachable"]));
    } finally {
      server.resume();
    }
    const one = relay();
    await one.until("all to be recorded", async () => (await pending()) === 0);
  });

  it("counts what is only on too few replicas as not published", async () => {
    await openLog();
    const few: Publisher = {
      publish: () =>
        Promise.resolve({ published: false, code: "too_few_replicas", message: "too few" }),
      close: () => undefined,
    };
    const { publish } = outbox(few);
    const committed = await commitEnds(started.database, "a");
    expect(await publish(committed, 0)).toEqual({ published: false, code: "too_few_replicas" });
    expect(await pending()).toBe(1);
  });

  describe("after the database was brought back from a backup", () => {
    const many = 6000;
    beforeEach(async () => {
      for (const tenant of ["acme", "b"]) {
        await tenantRows(
          started.database,
          tenant,
          sql`INSERT INTO sekisho.users (tenant_id, user_id, login, role, user_epoch, created_at)
              SELECT ${tenant}, 'u' || i, 'u' || i, 'user',
                CASE WHEN i = 1 THEN ${Number.MAX_SAFE_INTEGER - 5}::bigint ELSE i END, now()
              FROM generate_series(1, ${many / 2}::integer) AS i`,
        );
        await tenantRows(
          started.database,
          tenant,
          sql`INSERT INTO sekisho.sessions (tenant_id, session_id, user_id, device_name, address,
                created_at, last_used_at, last_used_address, refresh_generation,
                idle_expires_at, expires_at, password_change_only)
              SELECT ${tenant}, 's' || i, 'u' || i, '', '', now(), now(), '', 0, now(), now(), false
              FROM generate_series(1, 10) AS i`,
        );
      }
    });

    it("revokes everyone, ends everything, and has the log restored", async () => {
      const first = startRelaying({ database: started.database, url: server.url });
      await first.untilRestored(1);
      await first.close();
      const before = Date.now();
      const counts = await afterRestore(started.database, systemClock, "cli:ops");
      expect(counts).toEqual({ tenants: 2, users: many, sessions: 20 });
      expect(await pending()).toBe(1);
      const one = relay();
      await one.untilRestored(1);
      expect(one.restores[0]).toMatchObject({ cause: "requested", entries: 1 });
      const { meta, entries } = await seeLog(server.url);
      expect(meta.coversFromMs).toBeGreaterThanOrEqual(before);
      const revoked = entries.flatMap((one) => (one.kind === "revocation" ? [one.revocation] : []));
      expect(revoked).toEqual([{ kind: "all_revoked", issuedBefore: expect.any(Number) }]);
      const epochs = await tenantRows(
        started.database,
        "b",
        sql`SELECT user_epoch::float8 AS "epoch" FROM sekisho.users WHERE user_id = 'u3000'`,
      );
      expect(epochs).toEqual([{ epoch: 1_003_000 }]);
      const [open] = await tenantRows(
        started.database,
        "acme",
        sql`SELECT count(*) FILTER (WHERE ended_at IS NULL) AS "open",
              count(*) FILTER (WHERE ended_by = 'restored_from_backup') AS "ended"
            FROM sekisho.sessions`,
      );
      expect([Number(open?.["open"]), Number(open?.["ended"])]).toEqual([0, 10]);
      const trail = await tenantRows(
        started.database,
        "sekisho",
        sql`SELECT detail FROM sekisho.audit WHERE kind = 'restored_from_backup'`,
      );
      expect(trail.at(-1)).toEqual({ detail: { ...counts } });
      const own = await tenantRows(
        started.database,
        "b",
        sql`SELECT actor, detail FROM sekisho.audit WHERE kind = 'restored_from_backup'`,
      );
      expect(own).toEqual([{ actor: "cli:ops", detail: { users: many / 2, sessions: 10 } }]);
      // Asked for once, done once.
      const node = follow(server.url);
      closing.push(() => node.follower.close());
      await node.untilFresh();
      expect(one.restores).toHaveLength(1);
    });
  });
});
