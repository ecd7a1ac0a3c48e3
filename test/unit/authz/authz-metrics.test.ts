import { describe, expect, test } from "@jest/globals";
import { REASONS } from "../../../src/authz/check/reason.js";
import { authzMetrics } from "../../../src/authz/authz-metrics.js";
import { NO_ENTRIES } from "../../../src/authz/follow/local-state-lru.js";

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

/** The samples of a page in Prometheus' text format, by name and labels as they are written. */
async function samplesOf(metrics: ReturnType<typeof authzMetrics>): Promise<Map<string, string>> {
  const { text } = await metrics.page();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?) (\S+)$/.exec(line);
      if (match?.[1] === undefined || match[2] === undefined) throw new Error(`no sample: ${line}`);
      return [match[1], match[2]] as const;
    }),
  );
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
    expect((await samplesOf(metrics)).get("sekisho_log_seq")).toBe("1");
    seq = 2;
    const samples = await samplesOf(metrics);
    expect(samples.get("sekisho_log_seq")).toBe("2");
    expect(samples.get("sekisho_revocation_staleness_seconds")).toBe("0.012");
    expect(samples.get('sekisho_revocation_entries{kind="session"}')).toBe("3");
    expect(samples.get('sekisho_revocation_entries{kind="user"}')).toBe("2");
    expect(samples.get('sekisho_revocation_entries{kind="tenant"}')).toBe("1");
    expect(samples.get("sekisho_revocations_saturated")).toBe("0");
    expect(samples.get('sekisho_jwks_age_seconds{issuer="https://one.example"}')).toBe("1.5");
  });

  test("says +Inf where nothing was proven or loaded yet, and 1 where memory is full", async () => {
    const samples = await samplesOf(
      metricsWith({
        stalenessMs: () => Infinity,
        saturated: () => true,
        keyAgesMs: () => [{ issuer: "i", ageMs: Infinity }],
      }),
    );
    expect(samples.get("sekisho_revocation_staleness_seconds")).toBe("+Inf");
    expect(samples.get('sekisho_jwks_age_seconds{issuer="i"}')).toBe("+Inf");
    expect(samples.get("sekisho_revocations_saturated")).toBe("1");
  });

  test("has every reason from the beginning, under the decision that it belongs to", async () => {
    const samples = await samplesOf(metricsWith());
    const counted = [...samples.keys()].filter((name) => name.startsWith("sekisho_check_total"));
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
    const samples = await samplesOf(metrics);
    const denied = 'sekisho_check_total{decision="deny",reason="session_revoked"}';
    expect(samples.get(denied)).toBe("2");
    expect(samples.get("sekisho_check_duration_seconds_count")).toBe("2");
    expect(samples.get("sekisho_check_duration_seconds_sum")).toBe("0.006");
    expect(samples.get('sekisho_check_duration_seconds_bucket{le="0.0025"}')).toBe("1");
    expect(samples.get("sekisho_revocation_apply_lag_seconds_sum")).toBe("0.03");
    expect(samples.get('sekisho_log_resyncs_total{cause="gap"}')).toBe("1");
    expect(samples.get("sekisho_log_unreadable_entries_total")).toBe("1");
    expect(samples.get('sekisho_token_cache_total{result="hit"}')).toBe("1");
    expect(samples.get('sekisho_jwks_refresh_total{result="failed"}')).toBe("1");
  });
});
