import { describe, expect, test } from "@jest/globals";

import { describeReadiness, isReady } from "../../../src/runtime/health.js";
import {
  sessionsComponents,
  type SessionsState,
} from "../../../src/sessions/sessions-components.js";

function componentsIn(situation: Partial<SessionsState> & { readonly prepared?: boolean } = {}) {
  const { prepared = true, ...state } = situation;
  return sessionsComponents({
    life: { prepared, closing: false },
    tablesUpToDate: prepared,
    tablesProblem: undefined,
    databaseProblem: undefined,
    clockProblem: undefined,
    keysProblem: undefined,
    logProblem: undefined,
    pending: undefined,
    limitsProblem: undefined,
    gatedAfterMs: undefined,
    ...state,
  });
}

const OK = { status: "ok", detail: undefined };

test("a service that is well is ready, and so are all of its components", () => {
  const components = componentsIn({ pending: { count: 0, oldestAgeMs: undefined } });
  expect(isReady(components)).toBe(true);
  for (const [name, component] of Object.entries(components)) {
    expect([name, component]).toEqual([name, expect.objectContaining({ status: "ok" })]);
  }
  expect(Object.keys(components)).toEqual([
    ...["service", "database", "clock", "signing_keys", "revocation_log", "login_limits"],
  ]);
});

test("a service that shuts down is not ready", () => {
  const components = componentsIn({ life: { prepared: true, closing: true } });
  expect(components["service"]).toEqual({ status: "failed", detail: "shutting down" });
  expect(isReady(components)).toBe(false);
});

describe("before it is prepared, the service is not ready", () => {
  test("while nothing is wrong", () => {
    const components = componentsIn({ prepared: false });
    const detail = "updating the tables";
    expect(components["database"]).toEqual({ status: "failed", detail });
    expect(isReady(components)).toBe(false);
  });

  test("and says what keeps it from it", () => {
    const components = componentsIn({ prepared: false, tablesProblem: "no such role" });
    expect(components["database"]).toEqual({ status: "failed", detail: "no such role" });
    expect(JSON.stringify(describeReadiness(components))).toContain("no such role");
  });

  test("and does not blame the database for what keeps the keys away", () => {
    const situation = { prepared: false, tablesUpToDate: true, keysProblem: "wrong secret" };
    const components = componentsIn(situation);
    expect(components["database"]).toEqual(OK);
    expect(components["signing_keys"]).toEqual({ status: "failed", detail: "wrong secret" });
    expect(components["revocation_log"]?.status).toBe("failed");
  });

  test.each([
    ["database", { databaseProblem: "away" }],
    ["signing_keys", { keysProblem: "away" }],
  ] as const)("where %s has a problem", (name, problem) => {
    const components = componentsIn({ prepared: false, ...problem });
    expect(components[name]).toEqual({ status: "failed", detail: "away" });
  });
});

describe("once it is prepared, it stays ready", () => {
  test.each([
    ["database", { databaseProblem: "away" }, "away"],
    ["clock", { clockProblem: "12 s behind" }, "12 s behind"],
    ["signing_keys", { keysProblem: "away" }, "away"],
    ["revocation_log", { logProblem: "away" }, "away"],
    [
      "login_limits",
      { limitsProblem: "refused" },
      "counted in this process only, because Redis is unavailable: refused",
    ],
  ] as const)("while %s has a problem", (name, problem, detail) => {
    const components = componentsIn(problem);
    expect(components[name]).toEqual({ status: "degraded", detail });
    expect(isReady(components)).toBe(true);
    const others = Object.entries(components).filter(([other]) => other !== name);
    for (const [, component] of others) expect(component).toMatchObject({ status: "ok" });
  });
});

describe("revocations that wait", () => {
  test.each([
    [1999, OK.status],
    [2000, "degraded"],
    [2001, "degraded"],
  ])("for %d ms are %s", (oldestAgeMs, status) => {
    const { revocation_log: log } = componentsIn({ pending: { count: 3, oldestAgeMs } });
    expect(log).toMatchObject({ status });
  });

  test("are told of by number and age, with the cause where it is known", () => {
    const pending = { count: 3, oldestAgeMs: 4400 };
    expect(componentsIn({ pending })["revocation_log"]?.detail).toBe(
      "revocations are waiting to be published; not in force yet: 3, the oldest for 4 s",
    );
    expect(componentsIn({ pending, logProblem: "Redis is away" })["revocation_log"]?.detail).toBe(
      "Redis is away; not in force yet: 3, the oldest for 4 s",
    );
  });

  test("are told of beside refreshes that are refused, each in a sentence", () => {
    const gated =
      "refreshes are refused, because no instance has searched the log for 301 s " +
      "(SEKISHO_REFRESH_UNSEARCHED_MAX_S)";
    expect(componentsIn({ gatedAfterMs: 301_200 })["revocation_log"]).toEqual({
      status: "degraded",
      detail: gated,
    });
    const logProblem = "Redis is away";
    expect(componentsIn({ gatedAfterMs: 301_200, logProblem })["revocation_log"]?.detail).toBe(
      `Redis is away; ${gated}`,
    );
  });

  test("in unknown number are not made up", () => {
    expect(componentsIn({ logProblem: "away" })["revocation_log"]?.detail).toBe("away");
  });
});
