import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";

import { sessionsMetrics } from "../../../src/sessions/sessions-metrics.js";
import { sessionsObservers } from "../../../src/sessions/sessions-observers.js";
import { ManualClock } from "../../support/manual-clock.js";
import { samplesOf } from "../../support/metric-samples.js";

type Gauges = Parameters<typeof sessionsMetrics>[0];

function metricsWith(parts: Partial<Gauges> = {}) {
  const metrics = sessionsMetrics({
    pool: () => ({ max: 10, inUse: 3, idle: 2, waiting: 1 }),
    hashing: () => ({ pending: 5, queued: 3 }),
    outbox: () => ({ pending: 4, oldestAgeMs: 1500 }),
    relaying: () => true,
    search: () => ({ unsearchedMs: 400, gated: false }),
    keys: () => ({ count: 2, signingAgeMs: 7000 }),
    clockAheadMs: () => -1500,
    limitsInProcess: () => false,
    ...parts,
  });
  const log = pino({ enabled: false });
  return { ...metrics, observers: sessionsObservers(log, metrics.registry, new ManualClock()) };
}

describe("the page for Prometheus", () => {
  test.each([
    ["sekisho_login_total", "counter"],
    ["sekisho_refresh_total", "counter"],
    ["sekisho_refresh_reuse_total", "counter"],
    ["sekisho_lockouts_total", "counter"],
    ["sekisho_limits_hit_total", "counter"],
    ["sekisho_revocations_published_total", "counter"],
    ["sekisho_revocations_imported_total", "counter"],
    ["sekisho_log_restores_total", "counter"],
    ["sekisho_purged_rows_total", "counter"],
    ["sekisho_api_request_duration_seconds", "histogram"],
    ["sekisho_outbox_pending", "gauge"],
    ["sekisho_outbox_oldest_seconds", "gauge"],
    ["sekisho_relay_active", "gauge"],
    ["sekisho_log_unsearched_seconds", "gauge"],
    ["sekisho_refreshes_gated", "gauge"],
    ["sekisho_signing_keys", "gauge"],
    ["sekisho_signing_key_age_seconds", "gauge"],
    ["sekisho_clock_ahead_seconds", "gauge"],
    ["sekisho_limits_in_process", "gauge"],
    ["sekisho_database_connections", "gauge"],
    ["sekisho_password_hashing", "gauge"],
    ["process_cpu_seconds_total", "counter"],
    ["nodejs_eventloop_lag_seconds", "gauge"],
  ])("has %s, a %s", async (name, type) => {
    const { text, contentType } = await metricsWith().page();
    expect(text).toContain(`\n# TYPE ${name} ${type}\n`);
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  test("has every series of the closed lists with 0 before anything has happened", async () => {
    const samples = await samplesOf(metricsWith());
    const counted = Object.entries(samples).filter(([name]) => /^sekisho_.*_total/.test(name));
    for (const [name, value] of counted) expect([name, value]).toEqual([name, "0"]);
    const names = counted.map(([name]) => name);
    const login = (outcome: string, reason: string) =>
      `sekisho_login_total{outcome="${outcome}",reason="${reason}"}`;
    const refresh = (outcome: string, reason: string) =>
      `sekisho_refresh_total{outcome="${outcome}",reason="${reason}"}`;
    expect(names.filter((name) => name.startsWith("sekisho_login_total"))).toEqual([
      ...["password", "one_time_password"].map((reason) => login("opened", reason)),
      ...["bad_credentials", "account_locked", "account_disabled"].map((reason) =>
        login("refused", reason),
      ),
      ...["account", "address", "spread"].map((reason) => login("limited", reason)),
      ...["database", "hashing_queue", "keys", "internal"].map((reason) => login("failed", reason)),
    ]);
    expect(names.filter((name) => name.startsWith("sekisho_refresh_total"))).toEqual([
      ...["rotated", "sibling", "retry"].map((reason) => refresh("rotated", reason)),
      refresh("refused", "refresh_token_invalid"),
      refresh("refused", "refresh_token_reused"),
      refresh("refused", "session_ended"),
      refresh("refused", "account_disabled"),
      refresh("limited", "refresh"),
      ...["revocation_log", "database", "keys", "internal"].map((reason) =>
        refresh("failed", reason),
      ),
    ]);
    expect(names).toEqual(
      expect.arrayContaining([
        "sekisho_refresh_reuse_total",
        "sekisho_lockouts_total",
        ...["account", "address", "spread", "refresh", "user_act", "admin_act"].map(
          (limit) => `sekisho_limits_hit_total{limit="${limit}"}`,
        ),
        'sekisho_revocations_published_total{by="request"}',
        'sekisho_revocations_published_total{by="relay"}',
        "sekisho_revocations_imported_total",
        'sekisho_log_restores_total{cause="log_missing"}',
        'sekisho_log_restores_total{cause="requested"}',
        'sekisho_purged_rows_total{table="refresh_tokens"}',
        ...["written", "left_out", "failed"].map(
          (row) => `sekisho_refused_acts_total{row="${row}"}`,
        ),
      ]),
    );
  });

  test("counts in the series that were there, and adds none", async () => {
    const metrics = metricsWith();
    const before = Object.keys(await samplesOf(metrics)).filter((name) => name.includes("_total"));
    const { sessions, relay, purge } = metrics.observers;
    const from = { tenant: "acme", address: "192.0.2.1" };
    sessions.onLogin("refused", "account_locked");
    sessions.onRefresh("rotated", "sibling");
    sessions.onReuse({ ...from, eventId: "e-1" });
    sessions.onLockout(from);
    sessions.onLimit("spread", from);
    relay.onPublished(3);
    relay.onImported(2, 0);
    relay.onRestored({
      cause: "server_changed",
      generation: "g",
      seq: 9,
      entries: 8,
      imported: 0,
      unreadable: 0,
      coversFromMs: 0,
      tookMs: 1,
    });
    purge.onPurged({ refreshTokens: 4, sessions: 3, loginFailures: 2, revocations: 1 });
    const samples = await samplesOf(metrics);
    expect(Object.keys(samples).filter((name) => name.includes("_total"))).toEqual(before);
    const counted = Object.entries(samples).filter(
      ([name, value]) => /^sekisho_.*_total/.test(name) && value !== "0",
    );
    expect(Object.fromEntries(counted)).toEqual({
      'sekisho_login_total{outcome="refused",reason="account_locked"}': "1",
      'sekisho_refresh_total{outcome="rotated",reason="sibling"}': "1",
      sekisho_refresh_reuse_total: "1",
      sekisho_lockouts_total: "1",
      'sekisho_limits_hit_total{limit="spread"}': "1",
      'sekisho_revocations_published_total{by="relay"}': "3",
      sekisho_revocations_imported_total: "2",
      'sekisho_log_restores_total{cause="server_changed"}': "1",
      'sekisho_purged_rows_total{table="refresh_tokens"}': "4",
      'sekisho_purged_rows_total{table="sessions"}': "3",
      'sekisho_purged_rows_total{table="login_failures"}': "2",
      'sekisho_purged_rows_total{table="revocations"}': "1",
    });
  });

  test("reads the gauges when it is asked, in seconds", async () => {
    const samples = await samplesOf(metricsWith());
    expect(samples).toMatchObject({
      sekisho_outbox_pending: "4",
      sekisho_outbox_oldest_seconds: "1.5",
      sekisho_relay_active: "1",
      sekisho_log_unsearched_seconds: "0.4",
      sekisho_refreshes_gated: "0",
      sekisho_signing_keys: "2",
      sekisho_signing_key_age_seconds: "7",
      sekisho_limits_in_process: "0",
      'sekisho_database_connections{state="in_use"}': "3",
      'sekisho_database_connections{state="idle"}': "2",
      'sekisho_database_connections{state="waiting"}': "1",
      'sekisho_database_connections{state="max"}': "10",
      'sekisho_password_hashing{state="working"}': "2",
      'sekisho_password_hashing{state="queued"}': "3",
    });
  });

  test("leaves out what is not known, and says 0 where nothing waits", async () => {
    const now: { outbox?: ReturnType<Gauges["outbox"]> } = {};
    const keys = () => ({ count: 0, signingAgeMs: undefined });
    const search = () => undefined;
    const metrics = metricsWith({ outbox: () => now.outbox, keys, search });
    const unknown = await samplesOf(metrics);
    for (const name of [
      ...["outbox_pending", "outbox_oldest_seconds", "signing_key_age_seconds"],
      ...["log_unsearched_seconds", "refreshes_gated"],
    ]) {
      expect(unknown[`sekisho_${name}`]).toBeUndefined();
    }
    now.outbox = { pending: 0, oldestAgeMs: undefined };
    const known = await samplesOf(metrics);
    expect(known["sekisho_outbox_pending"]).toBe("0");
    expect(known["sekisho_outbox_oldest_seconds"]).toBe("0");
  });

  test("says when refreshes are refused because no instance has searched the log", async () => {
    const search = () => ({ unsearchedMs: 301_000, gated: true });
    const samples = await samplesOf(metricsWith({ search }));
    expect(samples["sekisho_log_unsearched_seconds"]).toBe("301");
    expect(samples["sekisho_refreshes_gated"]).toBe("1");
  });

  test("times the answers by operation and status", async () => {
    const metrics = metricsWith();
    metrics.answered("POST /v1/login", 200, 30);
    const samples = await samplesOf(metrics);
    const name = "sekisho_api_request_duration_seconds";
    const labels = 'operation="POST /v1/login",status="200"';
    expect(samples[`${name}_sum{${labels}}`]).toBe("0.03");
    expect(samples[`${name}_bucket{le="0.02",${labels}}`]).toBe("0");
    expect(samples[`${name}_bucket{le="0.05",${labels}}`]).toBe("1");
  });
});
