/** What is published past the service while it is away, and what becomes of it when it is back. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import { waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import { sessions, users } from "../../src/sessions/database/schema-sql.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import { READ_BACK_MAX_ENTRIES, type LogAdmin } from "../../src/revocation-log/log-admin.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { failingKeeper } from "../support/failing-log-admin.js";
import { endOf, follow, KEYS, redis, type Following, REQUIRED } from "../support/following.js";
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
  type RelayingOptions,
} from "../support/relaying.js";
import { tokenNames } from "../support/token-names.js";

/** More than one of a stream's macro nodes, which are trimmed as a whole. */
const MANY = 150;

describe.each(DATABASES)("a service that was away, with $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  const relays: Relaying[] = [];
  const nodes: Following[] = [];

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
    await Promise.all(nodes.splice(0).map(({ follower }) => follower.close()));
    await Promise.all(relays.splice(0).map((one) => one.close()));
  });
  afterAll(() => Promise.all([started.stop(), server.close()]));

  const relay = (change: Partial<RelayingOptions> = {}): Relaying => {
    const one = startRelaying({ database: started.database, url: server.url, ...change });
    relays.push(one);
    return one;
  };
  /** A log with this horizon, which a relay has made and left. */
  const leaveLog = async (horizonS: number): Promise<void> => {
    const one = relay({ horizonS });
    await one.untilRestored(1);
    await one.close();
  };
  const open = (user: string, session: string) =>
    started.database.transaction({ role: "tenant", tenant: "acme" }, async (queries) => {
      const now = new Date();
      const tenantId = "acme";
      const whose = { tenantId, userId: user, createdAt: now };
      await queries.insert(users).values({ ...whose, login: user, role: "user", userEpoch: 3 });
      await queries.insert(sessions).values({
        ...whose,
        sessionId: session,
        deviceName: "",
        address: "",
        lastUsedAt: now,
        lastUsedAddress: "",
        refreshGeneration: 0,
        idleExpiresAt: now,
        expiresAt: now,
        passwordChangeOnly: false,
      });
    });
  const openSessions = async () => {
    const query = sql`SELECT session_id FROM sekisho.sessions WHERE ended_at IS NULL`;
    return (await tenantRows(started.database, "acme", query)).map((row) => row["session_id"]);
  };
  const breakGlass = async (...revocations: Parameters<typeof decided>[0][]): Promise<void> => {
    const glass = databasePublisher(server.url, true);
    try {
      for (const one of revocations) {
        expect(await glass.publish(decided(one))).toMatchObject({ published: true });
      }
    } finally {
      glass.close();
    }
  };
  const endsOf = (prefix: string) =>
    Array.from({ length: MANY }, (_, i) => endOf(`${prefix}-${i}`));

  /** As an instance does whose relay waits for its turn. */
  const publishByRequest = async (session: string): Promise<void> => {
    const publisher = databasePublisher(server.url);
    const outbox = new LogOutbox({
      database: started.database,
      clock: systemClock,
      publisher,
      receipts: { waitFor: () => Promise.reject(new Error("nobody waits")) },
      observer: {
        onPublished: () => undefined,
        onLeft: () => undefined,
        onRecordingFailed: () => undefined,
      },
    });
    const committed = await commitEnds(started.database, session);
    expect(await outbox.publish(committed, 0)).toMatchObject({ published: true });
    await outbox.close();
    publisher.close();
  };

  it("imports what is older than the horizon, though a request publishes first", async () => {
    await open("ann", "ann-1");
    await leaveLog(0);
    await breakGlass(endOf("ann-1"), ...endsOf("glass"));
    await publishByRequest("of-a-request");
    const back = relay({ horizonS: 0 });
    await back.until("the import", () => back.counts.imported >= MANY + 1);
    expect(await openSessions()).toEqual([]);
    expect(back.restores).toEqual([]);
  });

  it("imports what is older than the horizon, though its relay has much to publish", async () => {
    await open("ann", "ann-1");
    await leaveLog(0);
    await breakGlass(endOf("ann-1"), ...endsOf("glass"));
    await commit(started.database, ...endsOf("pending").map((one) => decided(one)));
    const back = relay({ horizonS: 0 });
    await back.until("the import", () => back.counts.imported >= MANY + 1);
    expect(await openSessions()).toEqual([]);
  });

  it("imports the rest if the relay before it ended between two pages", async () => {
    await leaveLog(0);
    const glass = databasePublisher(server.url, true);
    const many = Array.from({ length: READ_BACK_MAX_ENTRIES + 50 }, (_, i) => endOf(`many-${i}`));
    await Promise.all(many.map((one) => glass.publish(decided(one))));
    glass.close();
    const failing = failingKeeper("entriesAfter", "before");
    let pages = 0;
    const around = (logAdmin: LogAdmin): LogAdmin => {
      const broken = failing.around(logAdmin);
      const pageOf = () => ((pages += 1) === 1 ? logAdmin : broken);
      return { ...broken, entriesAfter: (id, count) => pageOf().entriesAfter(id, count) };
    };
    const first = relay({ horizonS: 0, around });
    await first.until("the end of it", () => failing.failed());
    await first.close();
    await publishByRequest("of-a-request");
    const second = relay({ horizonS: 0 });
    await second.until("the rest", () => second.counts.imported > 0);
    expect(second.counts.imported).toBe(many.length + 1 - READ_BACK_MAX_ENTRIES);
    const trail = sql`SELECT DISTINCT session_id FROM sekisho.audit
      WHERE kind = 'revocation_imported' AND session_id LIKE 'many-%'`;
    expect(await tenantRows(started.database, "acme", trail)).toHaveLength(many.length);
  });

  it("trims what it has imported, by the horizon and never further than it has looked", async () => {
    await leaveLog(0);
    await breakGlass(...endsOf("glass"));
    const back = relay({ horizonS: 0 });
    await back.until("the log to be short", async () => {
      return Number(await redis(server.url, "XLEN", KEYS.log)) < 100;
    });
    expect(back.counts.imported).toBe(MANY);
    const { meta, entries } = await seeLog(server.url);
    expect(entries[0]?.seq).toBe(meta.firstSeq);
    expect(meta.firstSeq).toBeGreaterThan(1);
    await back.untilNextCycle();
    expect(back.restores).toEqual([]);
  });

  it.each([
    ["has a longer horizon to keep", "horizon_too_short", 5, () => Promise.resolve()],
    [
      "finds a restore that was abandoned",
      "restore_abandoned",
      0,
      () => redis(server.url, "HSET", KEYS.meta, "restoring", "somebody who died"),
    ],
    ["finds no facts", "log_missing", 0, () => redis(server.url, "DEL", KEYS.meta)],
    [
      "finds a log of another database",
      "generation_differs",
      0,
      () => redis(server.url, "HSET", KEYS.meta, "generation", "another"),
    ],
  ])("imports before it makes the log anew when it %s", async (_what, cause, horizonS, damage) => {
    await open("ann", "ann-1");
    await leaveLog(0);
    await breakGlass(endOf("ann-1"), endOf("glass"));
    await damage();
    const back = relay({ horizonS });
    await back.untilRestored(1);
    expect(back.restores).toMatchObject([{ cause, imported: 2 }]);
    expect(await openSessions()).toEqual([]);
  });

  it("revokes anew what it imports, for it may have been refreshed and forgotten since", async () => {
    const horizonS = 1;
    await Promise.all([open("ann", "ann-1"), open("ben", "ben-1")]);
    await leaveLog(horizonS);
    const node = follow(server.url, { required: { ...REQUIRED, horizonS } });
    nodes.push(node);
    const refused = (): readonly string[] => [
      ...(node.knows("ann-1") ? ["ann-1"] : []),
      ...(node.state.lookUp(tokenNames("acme", "ben", "ben-1")).epoch > 3 ? ["ben-1"] : []),
    ];
    const none = { epoch: undefined, issuedBefore: undefined };
    await breakGlass(endOf("ann-1"), {
      kind: "user_revoked",
      tenant: "acme",
      user: "ben",
      ...none,
      epoch: 9,
    });
    await node.until("both", () => refused().length === 2);
    await waitUntil(() => refused().length === 0, {
      what: "the node to forget them",
      timeoutMs: 20_000,
    });
    // Both refresh here: their sessions are open, and ben's epoch is the old one.
    const backMs = Date.now();
    const back = relay({ horizonS });
    await node.until("both once more", () => refused().length === 2);
    await back.until("publishing", () => back.counts.published === 2);
    expect(back.counts.imported).toBe(2);
    expect(await openSessions()).toEqual([]);
    const again = node.applied.slice(-2);
    expect(again.map(({ kind }) => kind)).toEqual(["revocation", "revocation"]);
    for (const one of again) {
      const forgetAtMs = one.kind === "revocation" ? one.forgetAtMs : 0;
      expect(forgetAtMs).toBeGreaterThanOrEqual(backMs + horizonS * 1000);
    }
  });

  it("has a restored log hold what was imported for a whole horizon from then", async () => {
    await leaveLog(1);
    await breakGlass(endOf("ann-1"));
    const publishedMs = Date.now();
    await waitUntil(() => Date.now() > publishedMs, { what: "a later moment", timeoutMs: 5000 });
    const backMs = Date.now();
    const back = relay({ horizonS: 1 });
    await back.until("publishing", () => back.counts.published === 1);
    // A restore takes what counts from less than a horizon ago.
    const query = sql`SELECT extract(epoch FROM at) * 1000 AS at_ms FROM sekisho.revocations`;
    const [imported] = await rows(started.database, "relay", query);
    expect(Number(imported?.["at_ms"])).toBeGreaterThanOrEqual(backMs);
  });

  it("notices that the log has lost something, though it has grown beyond the record since", async () => {
    const one = relay();
    await one.untilRestored(1);
    await redis(server.url, "COPY", KEYS.log, `${KEYS.log}:old`);
    await redis(server.url, "COPY", KEYS.meta, `${KEYS.meta}:old`);
    const [lost] = await commitEnds(started.database, "lost");
    await one.until("publishing", () => one.counts.published === 1);
    await one.untilNextCycle();
    await one.close();
    // As after two failovers, back to the first master with what the replica had of it.
    await redis(server.url, "RENAME", `${KEYS.log}:old`, KEYS.log);
    await redis(server.url, "RENAME", `${KEYS.meta}:old`, KEYS.meta);
    await open("ann", "ann-1");
    await breakGlass(endOf("ann-1"), endOf("glass-1"), endOf("glass-2"));
    const back = relay();
    await back.untilRestored(1);
    expect(back.restores).toMatchObject([{ cause: "entries_missing", imported: 3, entries: 4 }]);
    expect((await seeLog(server.url)).eventIds).toContain(lost?.eventId);
    expect(await openSessions()).toEqual([]);
  });
});
