import { describe, expect, test } from "@jest/globals";
import { pino } from "pino";
import { z } from "zod";
import { refuse, type Decision } from "../../../src/authz/check/decide.js";
import type { HttpCheck } from "../../../src/authz/check/check-facts.js";
import { authzMetrics } from "../../../src/authz/authz-metrics.js";
import { authzObservers } from "../../../src/authz/authz-observers.js";
import { tokenWith } from "./check/request-parts.js";
import { NO_ENTRIES } from "../../../src/authz/follow/local-state.js";

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
    entries: () => NO_ENTRIES,
    saturated: () => false,
    seq: () => 0,
    keptAgeMs: () => undefined,
    connections: () => 0,
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
      uncertainty: undefined,
    });
    expect(lines()).toEqual([
      {
        level: 30,
        msg: "denied",
        decision: "deny",
        reason: "session_revoked",
        tenant: "acme",
        user: "ann",
        session: "s-1",
        request_id: "r-1",
        trace_id: "t-1",
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

  test("also where the RPC fails, with the uncertainty", () => {
    const { checked, lines } = setUp();
    const token = tokenWith();
    checked({ kind: "error", reason: "revocations_stale", token, uncertainty: "saturated" });
    expect(lines()).toMatchObject([{ decision: "error", doubt: "saturated", tenant: "acme" }]);
  });

  test.each([
    ["a token", TOKEN_TEXT],
    ["a part of a token", "eyJhbGciOiJFUzI1NiJ9"],
    ["a long text", "x".repeat(41)],
    ["a secret of 32 bytes", "A".repeat(43)],
    ["a text of several lines", "a\nb"],
    ["nothing", ""],
  ])("and without %s where an id should be", (_what, sent) => {
    const { checked, lines, text } = setUp();
    const extensions = { [`sekisho.${sent}`]: sent };
    const http = { ...HTTP, requestId: sent, traceId: sent, contextExtensions: extensions };
    checked(refuse("token_missing", false), http);
    checked(refuse("route_policy_invalid", false), http);
    for (const line of lines()) {
      expect(line).not.toHaveProperty("request_id");
      expect(line).not.toHaveProperty("trace_id");
    }
    for (const part of sent.split(/[.\n]/).filter((one) => one.length > 3)) {
      expect(text()).not.toContain(part);
    }
  });

  test.each(["0a1b2c3d-0a1b-4a1b-8a1b-0a1b2c3d4e5f", "4bf92f3577b34da6a3ce929d0e0e4736", "r_1"])(
    "and with the id %s",
    (id) => {
      const { checked, lines } = setUp();
      checked(refuse("token_missing", false), { ...HTTP, requestId: id, traceId: id });
      expect(lines()).toMatchObject([{ request_id: id, trace_id: id }]);
    },
  );

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
