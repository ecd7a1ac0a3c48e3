import { describe, expect, test } from "@jest/globals";
import { REASONS } from "../../../src/authz/check/reason.js";
import { authzMetrics } from "../../../src/authz/authz-metrics.js";
import { NO_ENTRIES } from "../../../src/authz/follow/local-state.js";
import { samplesOf } from "../../support/metric-samples.js";

function metricsWith(parts: Partial<Parameters<typeof authzMetrics>[0]> = {}) {
  return authzMetrics({
    stalenessMs: () => 12,
    entries: () => ({ ...NO_ENTRIES, session: 3, user: 2, tenant: 1 }),
    saturated: () => false,
    seq: () => 42,
    keptAgeMs: () => undefined,
    connections: () => 7,
    keyAgesMs: () => [{ issuer: "https://one.example", ageMs: 1500 }],
    ...parts,
  });
}

describe("the page for Prometheus", () => {
  test.each([
    ["sekisho_check_total", "counter"],
    ["sekisho_check_duration_seconds", "histogram"],
    ["sekisho_revocation_apply_lag_seconds", "histogram"],
    ["sekisho_revocation_staleness_seconds", "gauge"],
    ["sekisho_revocation_entries", "gauge"],
    ["sekisho_revocations_saturated", "gauge"],
    ["sekisho_log_seq", "gauge"],
    ["sekisho_check_cancelled_total", "counter"],
    ["sekisho_connections", "gauge"],
    ["sekisho_connections_ended_total", "counter"],
    ["sekisho_log_resyncs_total", "counter"],
    ["sekisho_log_unreadable_entries_total", "counter"],
    ["sekisho_token_cache_total", "counter"],
    ["sekisho_jwks_refresh_total", "counter"],
    ["sekisho_jwks_age_seconds", "gauge"],
    ["process_cpu_seconds_total", "counter"],
    ["nodejs_eventloop_lag_seconds", "gauge"],
  ])("has %s, a %s", async (name, type) => {
    const { text, contentType } = await metricsWith().page();
    expect(text).toContain(`\n# TYPE ${name} ${type}\n`);
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  test("reads the gauges when it is asked", async () => {
    let seq = 1;
    const metrics = metricsWith({ seq: () => seq });
    expect(await samplesOf(metrics)).toMatchObject({ sekisho_log_seq: "1" });
    seq = 2;
    expect(await samplesOf(metrics)).toMatchObject({
      sekisho_log_seq: "2",
      sekisho_revocation_staleness_seconds: "0.012",
      'sekisho_revocation_entries{kind="session"}': "3",
      'sekisho_revocation_entries{kind="user"}': "2",
      'sekisho_revocation_entries{kind="tenant"}': "1",
      sekisho_revocations_saturated: "0",
      'sekisho_jwks_age_seconds{issuer="https://one.example"}': "1.5",
    });
  });

  test("says +Inf where nothing was proven or loaded yet, and 1 where memory is full", async () => {
    const samples = await samplesOf(
      metricsWith({
        stalenessMs: () => Infinity,
        saturated: () => true,
        keyAgesMs: () => [{ issuer: "i", ageMs: Infinity }],
      }),
    );
    expect(samples).toMatchObject({
      sekisho_revocation_staleness_seconds: "+Inf",
      'sekisho_jwks_age_seconds{issuer="i"}': "+Inf",
      sekisho_revocations_saturated: "1",
    });
  });

  test("has every reason from the beginning, under the decision that it belongs to", async () => {
    const samples = await samplesOf(metricsWith());
    const counted = Object.keys(samples).filter((name) => name.startsWith("sekisho_check_total"));
    const expected = Object.entries(REASONS).map(([reason, { status }]) => {
      const decision = status === undefined ? "allow" : "deny";
      return `sekisho_check_total{decision="${decision}",reason="${reason}"}`;
    });
    expect(counted.sort()).toEqual(expected.sort());
  });

  test("counts what it is told", async () => {
    const metrics = metricsWith();
    metrics.checked("deny", "session_revoked", 2);
    metrics.checked("deny", "session_revoked", 4);
    metrics.applied(30);
    metrics.resync("gap");
    metrics.unreadable();
    metrics.tokenCache("hit");
    metrics.jwksRefresh("failed");
    expect(await samplesOf(metrics)).toMatchObject({
      'sekisho_check_total{decision="deny",reason="session_revoked"}': "2",
      sekisho_check_duration_seconds_count: "2",
      sekisho_check_duration_seconds_sum: "0.006",
      'sekisho_check_duration_seconds_bucket{le="0.0025"}': "1",
      sekisho_revocation_apply_lag_seconds_sum: "0.03",
      'sekisho_log_resyncs_total{cause="gap"}': "1",
      sekisho_log_unreadable_entries_total: "1",
      'sekisho_token_cache_total{result="hit"}': "1",
      'sekisho_jwks_refresh_total{result="failed"}': "1",
    });
  });
});
