import { describe, expect, it } from "@jest/globals";
import {
  clocksAgree,
  examineFacts,
  isRestored,
  keptAge,
  wallClockJumped,
} from "../../../../src/authz/follow/log-examination.js";
import type { LogFacts, LogMeta } from "../../../../src/revocation-log/revocation-log.js";
import { META, SERVER } from "../../../support/log-meta.js";

const meta = META;
const at = (ms: number) => ({ wallMs: 100_000 + ms, monotonicMs: ms });
const server = SERVER;
const facts: LogFacts = {
  role: "master",
  server,
  meta,
  serverMs: 100_005,
  sentAt: at(0),
  receivedAt: at(10),
};
const required = {
  skewMs: 5000,
  horizonS: 970,
  minReplicas: 0,
  unkeptMaxMs: undefined,
};

describe("examining a log", () => {
  const problem = (change: Partial<LogFacts>, applied?: { generation: string; seq: number }) => {
    const examined = examineFacts({ ...facts, ...change }, required, applied);
    return examined.fit ? "fit" : examined.problem.code;
  };
  const withMeta = (change: Partial<LogMeta>) => ({ meta: { ...meta, ...change } });

  it("follows a log in order", () => {
    expect(problem({})).toBe("fit");
  });

  it.each([
    ["not_a_master", { role: "slave" }],
    ["clock_difference", { serverMs: 100_000 - 5001 }],
    ["clock_difference", { serverMs: 100_010 + 5001 }],
    ["server_unidentified", { server: { ...server, runId: undefined } }],
    ["server_unidentified", { server: { ...server, replId: undefined } }],
    ["log_retired", withMeta({ retiredAtMs: 1 })],
    ["log_missing", { meta: "missing" as const }],
    ["log_unreadable", { meta: "unreadable" as const }],
    ["log_restoring", withMeta({ restoring: true })],
    ["log_restoring", { meta: "restoring" as const }],
    ["log_incomplete", withMeta({ authority: "database", runId: "run-0" })],
    ["log_incomplete", withMeta({ authority: "database", replId: "repl-0" })],
    ["partitions_differ", withMeta({ partitions: 2 })],
    ["horizon_too_short", withMeta({ horizonS: 969 })],
  ])("says %s", (code, change) => {
    expect(problem(change)).toBe(code);
  });

  it("takes a clock that is off by exactly the skew, and a longer horizon", () => {
    expect(problem({ serverMs: 100_000 - 5000 })).toBe("fit");
    expect(problem({ serverMs: 100_010 + 5000 })).toBe("fit");
    expect(problem(withMeta({ horizonS: 971 }))).toBe("fit");
  });

  it("does not compare servers where Redis itself is the authority", () => {
    expect(problem(withMeta({ runId: "run-0" }))).toBe("fit");
    expect(problem(withMeta({ replId: "repl-0" }))).toBe("fit");
    expect(problem(withMeta({ authority: "database", runId: "run-1" }))).toBe("fit");
  });

  it("compares the run id alone where the first version's service keeps the log", () => {
    const kept = { authority: "database", replId: undefined } as const;
    expect(problem(withMeta(kept))).toBe("fit");
    expect(problem(withMeta({ ...kept, runId: "run-0" }))).toBe("log_incomplete");
  });

  it("finds that the log fell below what was applied, in the same generation only", () => {
    expect(problem({}, { generation: "g1", seq: 10 })).toBe("fit");
    expect(problem({}, { generation: "g1", seq: 11 })).toBe("log_fell");
    expect(problem({}, { generation: "g0", seq: 11 })).toBe("fit");
  });

  it("says what to do about a log that is gone, and about one that was never there", () => {
    const message = (applied?: { generation: string; seq: number }) => {
      const examined = examineFacts({ ...facts, meta: "missing" }, required, applied);
      return examined.fit ? "" : examined.problem.message;
    };
    expect(message()).toContain("--nothing-was-revoked");
    expect(message({ generation: "g1", seq: 3 })).toContain("is gone");
    expect(message({ generation: "g1", seq: 3 })).toContain("sekisho log init");
  });

  it("says which server it is that does not say who it is", () => {
    const examined = examineFacts(
      { ...facts, server: { ...server, runId: undefined, description: "proxy:6379 (x 1)" } },
      required,
      undefined,
    );
    expect(examined.fit ? "" : examined.problem.message).toContain("proxy:6379 (x 1)");
  });

  it("never takes two servers without a name for the same one", () => {
    const nameless = { server: { ...server, runId: undefined, replId: undefined } };
    expect(problem({ ...nameless, ...withMeta({ authority: "database", runId: "" }) })).toBe(
      "server_unidentified",
    );
    expect(problem(withMeta({ authority: "database", runId: "", replId: undefined }))).toBe(
      "log_incomplete",
    );
  });
});

describe("the age of a log's last stamp", () => {
  const database = { ...meta, authority: "database" } as const;

  it("is told by the server's clock", () => {
    expect(keptAge({ ...database, keptAtMs: 99_000 }, 100_000)).toBe(1000);
    expect(keptAge({ ...database, keptAtMs: 100_001 }, 100_000)).toBe(0);
  });

  it("is without end where there never was one", () => {
    expect(keptAge(database, 100_000)).toBe(Infinity);
  });

  it("is nothing where Redis itself is the authority", () => {
    expect(keptAge({ ...meta, keptAtMs: 99_000 }, 100_000)).toBeUndefined();
  });
});

describe("clocks", () => {
  it("agree while the server's is within skew of ours on either side of the read", () => {
    const heard = (serverMs: number) => ({ serverMs, sentAt: at(0), receivedAt: at(10) });
    expect(clocksAgree(heard(100_000 - 50), 50)).toBe(true);
    expect(clocksAgree(heard(100_000 - 51), 50)).toBe(false);
    expect(clocksAgree(heard(100_010 + 50), 50)).toBe(true);
    expect(clocksAgree(heard(100_010 + 51), 50)).toBe(false);
  });

  it("jumped if they disagree on how much time passed by more than the skew", () => {
    const before = { wallMs: 0, monotonicMs: 0 };
    expect(wallClockJumped(before, { wallMs: 5100, monotonicMs: 100 }, 5000)).toBe(false);
    expect(wallClockJumped(before, { wallMs: 5101, monotonicMs: 100 }, 5000)).toBe(true);
    expect(wallClockJumped(before, { wallMs: -4901, monotonicMs: 100 }, 5000)).toBe(true);
  });
});

describe("a log that was waited for", () => {
  const old = { ...META, generation: "g1" };
  const restored = { ...META, generation: "g2" };
  const marked = { ...old, restoring: true };

  it.each([
    [true, restored, old],
    [true, restored, marked],
    [true, restored, "restoring"],
    [true, old, marked],
    [false, old, old],
    [false, marked, old],
    [false, "restoring", old],
    [false, "missing", marked],
  ] as const)("may be restored: %s", (expected, now, before) => {
    expect(isRestored(now, before)).toBe(expected);
  });
});
