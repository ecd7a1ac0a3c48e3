import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { z } from "zod";
import { refuse, type Decision } from "../../../src/check/decide.js";
import type { HttpCheck } from "../../../src/check/check-facts.js";
import { authzMetrics } from "../../../src/ops/authz-metrics.js";
import { authzObservers } from "../../../src/ops/authz-observers.js";
import { tokenWith } from "../check/request-parts.js";

const TOKEN_TEXT = "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl";
const HTTP: HttpCheck = {
  credentials: { kind: "bearer", token: TOKEN_TEXT },
  contextExtensions: {},
  requestId: "r-1",
  traceId: "t-1",
};

const lineSchema = z.record(z.string(), z.unknown());

function setUp() {
  const written: string[] = [];
  const base = null;
  const log = pino({ base, timestamp: false }, { write: (line: string) => written.push(line) });
  const metrics = authzMetrics({
    stalenessMs: () => 0,
    entries: () => ({ session: 0, user: 0, tenant: 0 }),
    saturated: () => false,
    seq: () => 0,
    keptAgeMs: () => undefined,
    keyAgesMs: () => [],
  });
  const observers = authzObservers(log, metrics);
  return {
    observers,
    metrics,
    text: () => written.join(""),
    lines: () => written.map((line) => lineSchema.parse(JSON.parse(line))),
    checked: (decision: Decision, http: HttpCheck | undefined = HTTP, durationMs = 1.23456) =>
      observers.check.checked({ decision, neededScopes: [], http }, durationMs),
  };
}

describe("a denial is one line", () => {
  test("with whom it concerns and how to find the request, and never the token", () => {
    const { checked, lines, text } = setUp();
    checked({
      kind: "deny",
      reason: "session_revoked",
      token: tokenWith(),
      signatureGood: true,
      doubt: undefined,
    });
    expect(lines()).toEqual([
      {
        ...{ level: 30, msg: "denied", decision: "deny", reason: "session_revoked" },
        ...{ tenant: "acme", user: "ann", session: "s-1", request_id: "r-1", trace_id: "t-1" },
        duration_ms: 1.235,
      },
    ]);
    expect(text()).not.toContain(TOKEN_TEXT);
  });

  test("also where nothing is known of the caller", () => {
    const { checked, lines, text } = setUp();
    checked(refuse("token_malformed", false));
    checked(refuse("request_malformed", false), undefined);
    expect(lines().map(({ reason, tenant }) => [reason, tenant])).toEqual([
      ["token_malformed", undefined],
      ["request_malformed", undefined],
    ]);
    expect(text()).not.toContain(TOKEN_TEXT);
  });

  test("also where the RPC fails, with the doubt", () => {
    const { checked, lines } = setUp();
    const token = tokenWith();
    checked({ kind: "error", reason: "revocations_stale", token, doubt: "saturated" });
    expect(lines()).toMatchObject([{ decision: "error", doubt: "saturated", tenant: "acme" }]);
  });

  test("with at most 128 characters of an id that the client chose", () => {
    const { checked, lines } = setUp();
    const long = "x".repeat(1000);
    checked(refuse("token_missing", false), { ...HTTP, requestId: long, traceId: long });
    const expected = { request_id: "x".repeat(128), trace_id: "x".repeat(128) };
    expect(lines()).toMatchObject([expected]);
  });

  test("and an allow is none, though both are counted", async () => {
    const { checked, lines, metrics } = setUp();
    checked({ kind: "allow", reason: "allowed", token: tokenWith() });
    checked({ kind: "allow_anonymous", reason: "allowed_anonymous" });
    checked(refuse("token_missing", false));
    expect(lines()).toHaveLength(1);
    const { text } = await metrics.page();
    expect(text).toContain('sekisho_check_total{decision="allow",reason="allowed"} 1');
    expect(text).toContain('sekisho_check_total{decision="allow",reason="allowed_anonymous"} 1');
    expect(text).toContain('sekisho_check_total{decision="deny",reason="token_missing"} 1');
  });
});

describe("keys", () => {
  test("are told when something changes, and counted each time", async () => {
    const { observers, lines, metrics } = setUp();
    const told = observers.keys("https://one.example");
    told("failed", "timed out");
    told("failed", "timed out");
    told("failed", "refused");
    told("ok", undefined);
    told("unchanged", undefined);
    told("failed", "refused");
    expect(lines().map(({ problem, msg }) => problem ?? msg)).toEqual([
      "timed out",
      "refused",
      "keys loaded",
      "refused",
    ]);
    const { text } = await metrics.page();
    expect(text).toContain('sekisho_jwks_refresh_total{result="failed"} 4');
    expect(text).toContain('sekisho_jwks_refresh_total{result="ok"} 1');
    expect(text).toContain('sekisho_jwks_refresh_total{result="unchanged"} 1');
  });
});

describe("the follower", () => {
  test("has its problems told as they come and go", () => {
    const { observers, lines } = setUp();
    observers.follower.problem({ code: "unreachable", message: "refused" });
    observers.follower.problem(undefined);
    observers.follower.resync("gap", "entry 7 is missing");
    expect(lines()).toMatchObject([
      { level: 40, code: "unreachable", problem: "refused" },
      { level: 30, msg: "in step with the revocation log" },
      { level: 30, cause: "gap", why: "entry 7 is missing" },
    ]);
  });

  test("has an entry that cannot be read told as an error, and counted", async () => {
    const { observers, lines, metrics } = setUp();
    const scope = { tenant: "acme", forgetAtMs: 5 };
    observers.follower.applied({ kind: "unreadable", id: "1-0", seq: 2, scope }, undefined);
    observers.follower.applied({ kind: "log_opened", id: "2-0", seq: 3 }, 20);
    expect(lines()).toMatchObject([{ level: 50, entry_id: "1-0", seq: 2, tenant: "acme" }]);
    const { text } = await metrics.page();
    expect(text).toContain("sekisho_log_unreadable_entries_total 1");
    expect(text).toContain("sekisho_revocation_apply_lag_seconds_count 1");
  });
});
