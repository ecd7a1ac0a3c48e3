/** One relay at a time, and what becomes of its work when it ends in the middle. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { systemClock } from "../../src/runtime/clock.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import type { LogAdmin } from "../../src/revocation-log/log-admin.js";
import { failingKeeper, STEPS, type Step } from "../support/failing-log-admin.js";
import { endOf, follow, HORIZON_S, KEYS, redis } from "../support/following.js";
import { changedKeeper } from "../support/changed-log-admin.js";
import {
  commit,
  commitEnds,
  databasePublisher,
  decided,
  emptyTables,
  seeLog,
  startRelaying,
  tenantRows,
  type Relaying,
  type RelayingOptions,
} from "../support/relaying.js";

const NAME = "relaying";
let postgres: PostgresServer;
let database: Database;
let other: Database;
let server: RedisServer;
const relays: Relaying[] = [];

beforeAll(async () => {
  [postgres, server] = await Promise.all([PostgresServer.start(), RedisServer.start()]);
  const url = await postgres.createDatabase(NAME);
  [database, other] = [openPostgres({ url, poolMax: 10 }), openPostgres({ url, poolMax: 10 })];
  await database.migrate();
});
beforeEach(() => Promise.all([emptyTables(database), redis(server.url, "FLUSHALL")]));
afterEach(() => Promise.all(relays.splice(0).map((one) => one.close())));
afterAll(async () => {
  await Promise.all([database.close(), other.close()]);
  await Promise.all([postgres.close(), server.close()]);
});

function relay(change: Partial<RelayingOptions> = {}): Relaying {
  const one = startRelaying({ database, url: server.url, ...change });
  relays.push(one);
  return one;
}
const killLockConnections = () =>
  postgres.query(
    `SELECT pg_terminate_backend(pid) FROM pg_locks
     WHERE locktype = 'advisory' AND granted
       AND database = (SELECT oid FROM pg_database WHERE datname = $1)`,
    { values: [NAME], database: NAME },
  );
const restoresInTrail = () =>
  tenantRows(
    database,
    "sekisho",
    sql`SELECT detail->>'generation' AS "generation" FROM sekisho.audit WHERE kind = 'log_restored'`,
  );

describe("two relays", () => {
  it("never work at once, and the other goes on soon after one's end", async () => {
    let holder = relay();
    await holder.untilRestored(1);
    const tookMs: number[] = [];
    for (const round of [1, 2, 3]) {
      const next = relay({ database: round % 2 === 1 ? other : database });
      await next.until("a look at the lock", () => next.relay.status().pending !== undefined);
      const before = holder.counts.published;
      await commitEnds(database, `a-${round}`);
      await holder.until("publishing", () => holder.counts.published > before);
      expect(next.relay.status()).toMatchObject({ relaying: false });
      const closedMs = performance.now();
      await holder.close();
      await commitEnds(database, `b-${round}`);
      await next.until("publishing", () => next.counts.published > 0);
      tookMs.push(performance.now() - closedMs);
      expect(next.restores).toEqual([]);
      holder = next;
    }
    // Of three, for a machine that stands still says nothing of the relay.
    expect(Math.min(...tookMs)).toBeLessThan(2000);
  });

  it("change places when the lock's connection dies", async () => {
    const one = relay();
    await one.untilRestored(1);
    const two = relay({ database: other });
    await two.until("a count of what is pending", () => two.relay.status().pending?.count === 0);
    await killLockConnections();
    await one.until("the loss to be noticed", () => one.lock.includes(false));
    await one.until(
      "exactly one to relay",
      () => [one, two].filter(({ relay: each }) => each.status().relaying).length === 1,
    );
    await commitEnds(database, "after");
    // By both, perhaps: who has lost the lock may not know it yet.
    await one.until("publishing", () => one.counts.published + two.counts.published >= 1);
  });

  it("do not call a problem over because they have lost the lock", async () => {
    const one = relay({ url: "redis://127.0.0.1:1" });
    await one.until("a problem", () => one.problems.length > 0);
    await killLockConnections();
    await one.until("the loss to be noticed", () => one.lock.includes(false));
    expect(one.problems).toStrictEqual(["redis_unavailable"]);
  });
});

describe("a database that has failed over to a standby that was behind", () => {
  it("is told again what it has lost, by the very relay that had read it there", async () => {
    const { untilRestored, untilNextCycle, until } = relay();
    await untilRestored(1);
    await untilNextCycle();
    const ask = (text: string, values: readonly unknown[] = []) =>
      postgres.query(text, { database: NAME, values });
    const [before] = await ask("SELECT seq, imported_entry_id FROM sekisho.log_records");
    const [lost] = await commitEnds(database, "lost");
    const known = async () => {
      const rows = await ask(
        "SELECT event_id FROM sekisho.revocations WHERE published_at IS NOT NULL",
      );
      return rows.map((row) => row["event_id"]);
    };
    await until("publishing", async () => (await known()).length === 1);
    await untilNextCycle();
    await ask("DELETE FROM sekisho.revocations");
    await ask("UPDATE sekisho.log_records SET seq = $1, imported_entry_id = $2", [
      before?.["seq"],
      before?.["imported_entry_id"],
    ]);
    await until("the import", async () => (await known()).length === 1);
    expect(await known()).toEqual([lost?.eventId]);
  });
});

describe("a restore", () => {
  const around =
    (change: (logAdmin: LogAdmin) => Partial<LogAdmin>) =>
    (logAdmin: LogAdmin): LogAdmin =>
      changedKeeper(logAdmin, change(logAdmin));
  const publishedByRelay = async (session: string): Promise<string | undefined> => {
    const one = relay();
    await one.untilRestored(1);
    const [ended] = await commitEnds(database, session);
    await one.until("publishing", () => one.counts.published === 1);
    await one.close();
    await redis(server.url, "FLUSHALL");
    return ended?.eventId;
  };

  it("leaves nothing out because the clock leaps ahead after it was judged", async () => {
    const eventId = await publishedByRelay("s");
    let leapMs = 0;
    const clock = { ...systemClock, wallMs: () => Date.now() + leapMs };
    const leaping = around((logAdmin) => ({
      beginRestore: (marker) => {
        leapMs = 2 * HORIZON_S * 1000;
        return logAdmin.beginRestore(marker);
      },
    }));
    const one = relay({ clock, around: leaping });
    await one.untilRestored(1);
    expect((await seeLog(server.url)).eventIds).toEqual([eventId]);
  });

  it("is begun anew where an append reached another seq than it should have", async () => {
    const eventId = await publishedByRelay("s");
    let wrong = 0;
    const miscounting = around((logAdmin) => ({
      append: async (marker, horizonS, entries) => {
        const step = await logAdmin.append(marker, horizonS, entries);
        wrong += 1;
        return wrong === 1 && step.done ? { ...step, seq: step.seq + 1 } : step;
      },
    }));
    const one = relay({ around: miscounting });
    await one.untilRestored(1);
    expect(wrong).toBe(2);
    expect((await seeLog(server.url)).eventIds).toEqual([eventId]);
    expect(one.problems).toEqual(["restore_failed", undefined]);
  });

  it("leaves out what no node could read, owns up to it, and goes on with the rest", async () => {
    const good = await commitEnds(database, "good");
    await commit(database, decided(endOf("b\u0007ad")));
    const before = Date.now();
    const one = relay();
    await one.untilRestored(1);
    expect(one.restores[0]).toMatchObject({ entries: 1, unreadable: 1 });
    const late = await commitEnds(database, "late");
    await one.until("publishing", () => one.counts.published === 1);
    const { meta, eventIds } = await seeLog(server.url);
    expect(eventIds).toEqual([...good, ...late].map(({ eventId }) => eventId));
    expect(meta.coversFromMs).toBeGreaterThanOrEqual(before);
    await one.until("it to be told", () => one.problems.includes("publishing_refused"));
    expect(one.relay.status().problem?.message).toContain("`session`");
    const node = follow(server.url);
    try {
      await node.untilFresh();
      expect(node.state.unreadable).toBe(false);
    } finally {
      await node.follower.close();
    }
  });
});

describe("a restore that ends at any step", () => {
  const cases = STEPS.flatMap((step) =>
    (["before", "after"] as const).map((when): [Step, "before" | "after"] => [step, when]),
  );

  it.each(cases)("is done anew by the next relay (%s, %s)", async (step, when) => {
    const first = relay();
    await first.untilRestored(1);
    await first.close();
    const early = await commitEnds(database, "early-1", "early-2");
    const glass = databasePublisher(server.url, true);
    const broken = decided(endOf("break-glass"));
    expect(await glass.publish(broken)).toMatchObject({ published: true });
    glass.close();
    await redis(server.url, "HSET", KEYS.meta, "restoring", "somebody who died");
    const dying = failingKeeper(step, when);
    const one = relay({ around: dying.around });
    await one.until("the fault", () => dying.failed());
    await one.close();
    const late = await commit(database, decided(endOf("late")));
    const two = relay();
    const wanted = [...early, ...late, broken].map(({ eventId }) => eventId).sort();
    const soundLog = async () => {
      const seen = await seeLog(server.url).catch(() => undefined);
      if (seen === undefined || seen.meta.restoring) return undefined;
      return wanted.every((id) => seen.eventIds.includes(id)) ? seen.meta : undefined;
    };
    // Whoever finished it: the trail tells of this log, once.
    await two.until("everything in a sound log, and the trail", async () => {
      const meta = await soundLog();
      const rows = await restoresInTrail();
      return rows.filter((row) => row["generation"] === meta?.generation).length === 1;
    });
    expect((await soundLog())?.coversFromMs).toBe(0);
    const node = follow(server.url);
    try {
      await node.until("all", ({ knows }) =>
        ["early-1", "early-2", "break-glass", "late"].every(knows),
      );
    } finally {
      await node.follower.close();
    }
  });
});
