import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { z } from "zod";

import { sessionsMetrics } from "../../../src/sessions/sessions-metrics.js";
import { sessionsObservers } from "../../../src/sessions/sessions-observers.js";
import { ManualClock } from "../../support/manual-clock.js";

const lineSchema = z.record(z.string(), z.unknown());
const [INFO, WARN, ERROR] = [30, 40, 50];

function setUp() {
  const clock = new ManualClock();
  const written: string[] = [];
  const base = null;
  const log = pino({ base, timestamp: false }, { write: (line: string) => written.push(line) });
  const metrics = sessionsMetrics({
    pool: () => ({ max: 1, inUse: 0, idle: 0, waiting: 0 }),
    hashing: () => ({ pending: 0, queued: 0 }),
    outbox: () => undefined,
    relaying: () => false,
    search: () => undefined,
    keys: () => ({ count: 0, signingAgeMs: undefined }),
    clockAheadMs: () => undefined,
    limitsInProcess: () => false,
  });
  return {
    observers: sessionsObservers(log, metrics.registry, clock),
    clock,
    /** The lines since the last call. */
    lines: () => written.splice(0).map((line) => lineSchema.parse(JSON.parse(line))),
    /** What has been counted, by name and labels. */
    counted: async () => {
      const { text } = await metrics.page();
      const samples = text.matchAll(/^(sekisho_[a-z_]+_total(?:\{[^}]*\})?) ([1-9]\d*)$/gm);
      const counts = [...samples].map(([, name = "", value]) => [name, Number(value)] as const);
      return Object.fromEntries<number>(counts);
    },
  };
}

describe("logins and refreshes", () => {
  test("leave a token out that was sent as the tenant", () => {
    const { observers, lines } = setUp();
    const tenant = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl";
    observers.sessions.onLimit("spread", { tenant, address: "192.0.2.1" });
    observers.sessions.onLockout({ tenant, address: "192.0.2.1" });
    expect(lines().map(({ tenant: told, address }) => [told, address])).toEqual([
      [undefined, "192.0.2.1"],
      [undefined, "192.0.2.1"],
    ]);
  });

  test("on the user's side are counted and no line of the log", async () => {
    const { observers, lines, counted } = setUp();
    observers.sessions.onLogin("opened", "password");
    observers.sessions.onLogin("refused", "bad_credentials");
    observers.sessions.onLogin("limited", "spread");
    observers.sessions.onRefresh("rotated", "rotated");
    observers.sessions.onRefresh("refused", "session_ended");
    expect(lines()).toEqual([]);
    expect(await counted()).toEqual({
      'sekisho_login_total{outcome="opened",reason="password"}': 1,
      'sekisho_login_total{outcome="refused",reason="bad_credentials"}': 1,
      'sekisho_login_total{outcome="limited",reason="spread"}': 1,
      'sekisho_refresh_total{outcome="rotated",reason="rotated"}': 1,
      'sekisho_refresh_total{outcome="refused",reason="session_ended"}': 1,
    });
  });

  test("that fail on the system's side are counted, and told with the request", async () => {
    const { observers, lines, counted } = setUp();
    observers.sessions.onLogin("failed", "hashing_queue");
    observers.sessions.onRefresh("failed", "database");
    expect(lines()).toEqual([]);
    expect(await counted()).toEqual({
      'sekisho_login_total{outcome="failed",reason="hashing_queue"}': 1,
      'sekisho_refresh_total{outcome="failed",reason="database"}': 1,
    });
  });

  test("that look like an attack are told as warnings", async () => {
    const { observers, lines, counted } = setUp();
    const from = { tenant: "acme", address: "192.0.2.1" };
    observers.sessions.onReuse({ ...from, eventId: "e-1" });
    observers.sessions.onLockout(from);
    expect(lines()).toEqual([
      {
        level: WARN,
        ...from,
        event_id: "e-1",
        msg: expect.stringContaining("refresh token was used again"),
      },
      { level: WARN, ...from, msg: expect.stringContaining("locked") },
    ]);
    expect(await counted()).toEqual({ sekisho_refresh_reuse_total: 1, sekisho_lockouts_total: 1 });
  });

  test("that run into limits are told once a second, with how many were left out", async () => {
    const { observers, lines, counted, clock } = setUp();
    const from = { tenant: "acme", address: "192.0.2.1" };
    for (let i = 0; i < 5; i += 1) observers.sessions.onLimit("spread", from);
    clock.advance(999);
    observers.sessions.onLimit("spread", from);
    const line = { level: WARN, limit: "spread", ...from, msg: "refused by a limit" };
    expect(lines()).toEqual([{ ...line, left_out: 0 }]);
    clock.advance(1);
    observers.sessions.onLimit("spread", from);
    expect(lines()).toEqual([{ ...line, left_out: 5 }]);
    expect(await counted()).toEqual({ 'sekisho_limits_hit_total{limit="spread"}': 7 });
  });
});

describe("revocations", () => {
  test("published by a request are counted only", async () => {
    const { observers, lines, counted } = setUp();
    observers.outbox.onPublished(2);
    expect(lines()).toEqual([]);
    expect(await counted()).toEqual({ 'sekisho_revocations_published_total{by="request"}': 2 });
  });

  test("left to the relay, or not recorded, are told with the cause", () => {
    const { observers, lines } = setUp();
    observers.outbox.onLeft(3, "unreachable");
    observers.outbox.onRecordingFailed(new Error("database: away"));
    expect(lines()).toEqual([
      { level: WARN, count: 3, code: "unreachable", msg: expect.stringContaining("relay") },
      { level: WARN, problem: "database: away", msg: expect.stringContaining("again") },
    ]);
  });

  test("published and imported by the relay are counted and told", async () => {
    const { observers, lines, counted } = setUp();
    observers.relay.onPublished(4);
    observers.relay.onImported(2, 1);
    expect(lines()).toEqual([
      { level: INFO, count: 4, msg: "the relay published revocations" },
      {
        level: WARN,
        imported: 2,
        unreadable: 1,
        msg: expect.stringContaining("past this service"),
      },
    ]);
    expect(await counted()).toEqual({
      'sekisho_revocations_published_total{by="relay"}': 4,
      sekisho_revocations_imported_total: 2,
    });
  });
});

describe("the relay", () => {
  test("tells who works, what it restored, and what keeps it from its work", async () => {
    const { observers, lines, counted } = setUp();
    observers.relay.onLock(true);
    observers.relay.onRestored({
      cause: "log_missing",
      seq: 9,
      entries: 8,
      generation: "g",
      imported: 1,
      unreadable: 0,
      coversFromMs: 0,
      tookMs: 12.6,
    });
    observers.relay.onProblem({ code: "redis_unavailable", message: "refused" });
    observers.relay.onProblem(undefined);
    observers.relay.onLock(false);
    expect(lines()).toEqual([
      { level: INFO, msg: "this instance relays" },
      {
        level: WARN,
        cause: "log_missing",
        partition: 0,
        seq: 9,
        entries: 8,
        imported: 1,
        took_ms: 13,
        msg: "restored the revocation log",
      },
      {
        level: WARN,
        partition: 0,
        code: "redis_unavailable",
        problem: "refused",
        msg: "the revocation log cannot be kept up to date",
      },
      { level: INFO, partition: 0, msg: "the revocation log is complete" },
      { level: INFO, msg: "this instance no longer relays" },
    ]);
    expect(await counted()).toEqual({ 'sekisho_log_restores_total{cause="log_missing"}': 1 });
  });
});

describe("the surroundings", () => {
  test("a problem of the signing keys is told once, a new one too, and its end once", () => {
    const { observers, lines } = setUp();
    for (const problem of [undefined, "away", "away", "wrong", undefined, undefined, "away"]) {
      observers.keys(problem);
    }
    const notReloaded = { level: WARN, msg: "signing keys could not be reloaded" };
    expect(lines()).toEqual([
      { ...notReloaded, problem: "away" },
      { ...notReloaded, problem: "wrong" },
      { level: INFO, msg: "signing keys reloaded" },
      { ...notReloaded, problem: "away" },
    ]);
  });

  test("database, clock and limits tell their going and coming", () => {
    const { observers, lines } = setUp();
    observers.watch.database("refused");
    observers.watch.database(undefined);
    observers.watch.clock("12 s behind");
    observers.watch.clock(undefined);
    observers.limits.onFallback("closed");
    observers.limits.onRecovered();
    expect(lines()).toEqual([
      { level: ERROR, problem: "refused", msg: "the database does not answer" },
      { level: INFO, msg: "the database answers" },
      { level: ERROR, problem: "12 s behind", msg: "the clocks differ" },
      { level: INFO, msg: "the clocks agree again" },
      { level: WARN, problem: "closed", msg: expect.stringContaining("in this process") },
      { level: INFO, msg: "limits are counted in Redis" },
    ]);
  });

  test("a purge is counted by table, and told where it fails", async () => {
    const { observers, lines, counted } = setUp();
    observers.purge.onPurged({ refreshTokens: 3, sessions: 0, loginFailures: 1, revocations: 0 });
    expect(lines()).toEqual([]);
    expect(await counted()).toEqual({
      'sekisho_purged_rows_total{table="refresh_tokens"}': 3,
      'sekisho_purged_rows_total{table="login_failures"}': 1,
    });
    observers.purge.onPurgeFailed("no error at all");
    expect(lines()).toEqual([
      { level: WARN, problem: "no error at all", msg: "expired rows could not be deleted" },
    ]);
  });
});

describe("the audit trail's rows of refusals", () => {
  test("each refusal is counted by what became of its row", async () => {
    const { observers, counted, lines } = setUp();
    const { refusals } = observers;
    expect(await counted()).toEqual({});
    refusals.onWritten();
    refusals.onLeftOut();
    refusals.onLeftOut();
    expect(await counted()).toEqual({
      'sekisho_refused_acts_total{row="written"}': 1,
      'sekisho_refused_acts_total{row="left_out"}': 2,
    });
    // Refusals are the users' side, and no line of the log.
    expect(lines()).toEqual([]);
  });

  test("that rows cannot be written is told once, and once that they can again", async () => {
    const { observers, counted, lines } = setUp();
    const { refusals } = observers;
    refusals.onFailed(new Error("the database is away"));
    refusals.onFailed(new Error("the database is away"));
    refusals.onLeftOut();
    expect(lines()).toEqual([
      {
        level: WARN,
        msg: "refused acts could not be written to the audit trail",
        problem: "the database is away",
      },
    ]);
    refusals.onWritten();
    refusals.onWritten();
    expect(lines()).toEqual([
      { level: INFO, msg: "refused acts are written to the audit trail again" },
    ]);
    expect(await counted()).toEqual({
      'sekisho_refused_acts_total{row="written"}': 2,
      'sekisho_refused_acts_total{row="left_out"}': 1,
      'sekisho_refused_acts_total{row="failed"}': 2,
    });
  });
});
