import { describe, expect, test } from "@jest/globals";
import { authzComponents } from "../../../src/authz/authz-components.js";
import { describeReadiness, isReady } from "../../../src/runtime/health.js";
import type { FollowerStatus } from "../../../src/authz/follow/follower.js";
import type { IssuerKeysStatus } from "../../../src/tokens/issuer-keys.js";
import { DEFAULT_CLAIM_NAMES, type Issuer } from "../../../src/tokens/issuer.js";

const ISSUER: Issuer = {
  issuer: "https://one.example",
  audience: "api",
  keyLocation: { kind: "file", path: "/nowhere" },
  algorithms: ["ES256"],
  typ: "at+jwt",
  tenants: undefined,
  claims: DEFAULT_CLAIM_NAMES,
};

const NOW_MS = 1_800_000_000_000;

interface Situation {
  readonly ready?: boolean;
  readonly closing?: boolean;
  readonly upForMs?: number;
  readonly follower?: Partial<FollowerStatus>;
  readonly stalenessMs?: number;
  readonly keptAgeMs?: number;
  readonly saturated?: boolean;
  readonly unreadable?: boolean;
  readonly coversFromMs?: number;
  readonly keys?: readonly Partial<IssuerKeysStatus>[];
}

function componentsIn(situation: Situation) {
  const { ready = false, closing = false, saturated = false, stalenessMs = 10 } = situation;
  const { upForMs = 0 } = situation;
  const status: FollowerStatus = {
    state: "following",
    group: "n:0:1",
    generation: "g",
    seq: 1,
    problem: undefined,
    unprotectedReplicas: 0,
    ...situation.follower,
  };
  const keys = situation.keys ?? [{}];
  return authzComponents({
    follower: {
      status: () => status,
      stalenessMs: () => stalenessMs,
      keptAgeMs: () => situation.keptAgeMs,
      freshness: { provenAt: undefined, coversFromMs: situation.coversFromMs ?? 0 },
    },
    state: { saturated, unreadable: situation.unreadable ?? false },
    trusted: keys.map((one, at) => ({
      issuer: { ...ISSUER, issuer: `https://${at}.example` },
      keys: { status: () => ({ loadedAgeMs: 5, keys: 1, lastProblem: undefined, ...one }) },
    })),
    life: { ready, closing, upForMs },
    limits: { maxStalenessMs: 1000, skewMs: 5000, maxTokenLifetimeS: 900 },
    nowMs: NOW_MS,
  });
}

const OK = { status: "ok", detail: undefined };
const noKeys = { keys: 0, loadedAgeMs: undefined };
const unreachable = { code: "unreachable", message: "Redis does not answer: refused" } as const;
const noLog = { code: "log_missing", message: "run `sekisho log init`" } as const;

describe("a node", () => {
  test("is well with a fresh log and keys", () => {
    const components = componentsIn({});
    expect(components).toEqual({ redis: OK, revocations: OK, keys: OK, shutdown: OK });
    expect(isReady(components)).toBe(true);
  });

  const troubles: readonly (readonly [string, Situation, string, RegExp])[] = [
    [
      "before its first proof of freshness",
      { stalenessMs: Infinity, follower: { state: "paging" } },
      "revocations",
      /^not yet in step with the revocation log: paging$/,
    ],
    [
      "whose last proof is too old",
      { stalenessMs: 1000.6 },
      "revocations",
      /^stale for 1001 ms: following$/,
    ],
    [
      "without a log",
      { stalenessMs: Infinity, follower: { state: "examining", problem: noLog } },
      "revocations",
      /^not yet in step with the revocation log: run `sekisho log init`$/,
    ],
    [
      "that Redis does not answer",
      { follower: { state: "connecting", problem: unreachable } },
      "redis",
      /^Redis does not answer: refused$/,
    ],
    ["that is connecting", { follower: { state: "connecting" } }, "redis", /^connecting$/],
    ["without keys yet", { keys: [noKeys] }, "keys", /^https:\/\/0\.example: not loaded yet$/],
    [
      "without the keys of one issuer of two",
      { keys: [{}, { ...noKeys, lastProblem: "no usable key" }] },
      "keys",
      /^https:\/\/1\.example: no usable key$/,
    ],
  ];

  test.each(troubles)("%s is not ready if it never was", (_what, situation, name, detail) => {
    const components = componentsIn({ ...situation, ready: false });
    expect(components[name]?.status).toBe("failed");
    expect(components[name]?.detail).toMatch(detail);
    expect(isReady(components)).toBe(false);
  });

  test.each(troubles)("%s stays ready, degraded, once it was", (_what, situation, name, detail) => {
    const components = componentsIn({ ...situation, ready: true });
    expect(components[name]?.status).toBe("degraded");
    expect(components[name]?.detail).toMatch(detail);
    expect(isReady(components)).toBe(true);
  });

  const oneWithout = [{}, { ...noKeys, lastProblem: "no usable key" }, {}];
  test.each([
    [29_999.9, "failed"],
    [30_000, "degraded"],
    [30_000.1, "degraded"],
  ])("that lacks one issuer's keys %d ms after its start is %s", (upForMs, status) => {
    const components = componentsIn({ upForMs, keys: oneWithout });
    const detail = "https://1.example: no usable key";
    expect(components["keys"]).toEqual({ status, detail });
    expect(isReady(components)).toBe(status === "degraded");
  });

  test("without any keys does not become ready, however long it waits", () => {
    for (const keys of [[noKeys], [noKeys, noKeys]]) {
      const components = componentsIn({ upForMs: 86_400_000, keys });
      expect(components["keys"]?.status).toBe("failed");
    }
  });

  test("names every issuer whose keys it lacks, and why", () => {
    const keys = [{}, { ...noKeys, lastProblem: "timed out" }, noKeys];
    for (const upForMs of [0, 30_000]) {
      expect(componentsIn({ upForMs, keys })["keys"]?.detail).toBe(
        "https://1.example: timed out; https://2.example: not loaded yet",
      );
    }
  });

  test("is fresh up to the limit, and stale beyond it", () => {
    expect(componentsIn({ stalenessMs: 1000 })["revocations"]).toEqual(OK);
    expect(componentsIn({ stalenessMs: 1000.1 })["revocations"]?.status).toBe("failed");
  });

  test("whose keys are there but could not be loaded again is degraded, ready or not", () => {
    for (const ready of [true, false]) {
      const components = componentsIn({ ready, keys: [{ lastProblem: "timed out" }] });
      expect(components["keys"]).toEqual({
        status: "degraded",
        detail: "https://0.example: timed out",
      });
      expect(isReady(components)).toBe(true);
    }
  });

  test("whose memory is full is degraded, and becomes ready all the same", () => {
    for (const ready of [true, false]) {
      const components = componentsIn({ ready, saturated: true });
      expect(components["revocations"]?.status).toBe("degraded");
      expect(components["revocations"]?.detail).toMatch(/SEKISHO_REVOCATIONS_MAX_ENTRIES$/);
      expect(isReady(components)).toBe(true);
    }
  });

  test("that cannot read an entry is degraded, whenever that happens", () => {
    for (const ready of [true, false]) {
      const components = componentsIn({ ready, unreadable: true });
      expect(components["revocations"]).toMatchObject({ status: "degraded" });
      expect(components["revocations"]?.detail).toContain("upgrade");
    }
  });

  test("is degraded until the last token that is older than the log has expired", () => {
    const lastsMs = 900_000 + 2 * 5000;
    const statusWith = (coversFromMs: number) =>
      componentsIn({ ready: true, coversFromMs })["revocations"]?.status;
    expect(statusWith(NOW_MS - lastsMs + 1)).toBe("degraded");
    expect(statusWith(NOW_MS - lastsMs)).toBe("ok");
  });

  test("that shuts down is not ready, however well it is", () => {
    const components = componentsIn({ ready: true, closing: true });
    expect(components["shutdown"]?.status).toBe("failed");
    expect(isReady(components)).toBe(false);
  });
});

describe("what /readyz says", () => {
  test("is one status and every component", () => {
    const well = componentsIn({ ready: true });
    expect(describeReadiness(well)).toEqual({ status: "ready", components: well });
    const degraded = componentsIn({ ready: true, stalenessMs: 5000 });
    expect(describeReadiness(degraded).status).toBe("ready");
    const failed = componentsIn({ stalenessMs: 5000 });
    expect(describeReadiness(failed)).toEqual({ status: "not_ready", components: failed });
  });
});
