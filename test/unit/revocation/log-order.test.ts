import { describe, expect, it } from "@jest/globals";
import {
  advance,
  advancePage,
  clocksAgree,
  examineFacts,
  judgeRead,
  wallClockJumped,
} from "../../../src/revocation/log-order.js";
import type {
  LogFacts,
  LogMeta,
  LogRead,
  MetaReply,
} from "../../../src/revocation/revocation-log.js";

const meta: LogMeta = {
  generation: "g1",
  seq: 10,
  firstSeq: 4,
  runId: "run-1",
  replId: "repl-1",
  authority: "redis",
  horizonS: 970,
  partitions: 1,
  coversFromMs: 0,
  minReplicas: 0,
  keptAtMs: undefined,
  retiredAtMs: undefined,
  restoring: false,
};
const at = (ms: number) => ({ wallMs: 100_000 + ms, monotonicMs: ms });
const facts: LogFacts = {
  role: "master",
  serverRunId: "run-1",
  meta,
  serverMs: 100_005,
  sentAt: at(0),
  receivedAt: at(10),
};
const required = { skewMs: 5000, horizonS: 970, partitions: 1 };
const opened = (seq: number | string) => ({
  id: `${seq}-0`,
  fields: { v: "1", seq: String(seq), kind: "log_opened" },
});
const seqs = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => opened(from + i));

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
    ["log_missing", { meta: "missing" as const }],
    ["log_unreadable", { meta: "unreadable" as const }],
    ["log_restoring", withMeta({ restoring: true })],
    ["log_restoring", { meta: "restoring" as const }],
    ["log_incomplete", withMeta({ authority: "database", runId: "run-0" })],
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

  it("does not compare run ids where Redis itself is the authority", () => {
    expect(problem(withMeta({ runId: "run-0" }))).toBe("fit");
    expect(problem(withMeta({ authority: "database", runId: "run-1" }))).toBe("fit");
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
});

describe("going through entries", () => {
  it("advances over what follows without a gap", () => {
    expect(advance(3, seqs(4, 6))).toMatchObject({ seq: 6, gap: undefined });
  });

  it("passes over duplicates without falling back", () => {
    expect(advance(5, seqs(4, 6))).toMatchObject({ seq: 6, gap: undefined });
    expect(advance(9, seqs(4, 6))).toMatchObject({ seq: 9, gap: undefined });
  });

  it("finds a gap, and still hands out every entry that is there", () => {
    const advanced = advance(3, [opened(4), opened(6), opened(7)]);
    expect(advanced.entries).toHaveLength(3);
    expect(advanced.seq).toBe(4);
    expect(advanced.gap).toContain("6");
  });

  it("takes a deleted entry for a gap", () => {
    const advanced = advance(3, [opened(4), { id: "9-0", fields: undefined }, opened(5)]);
    expect(advanced.gap).toContain("9-0");
    expect(advanced.entries).toHaveLength(2);
  });

  it("takes no step for an entry without a readable seq", () => {
    expect(advance(3, [opened("x"), opened(4)])).toMatchObject({ seq: 4, gap: undefined });
    expect(advance(3, [opened("x"), opened(5)]).gap).toBeDefined();
    const page = advancePage(undefined, 4, [opened("x"), ...seqs(4, 6), opened("y")]);
    expect(page).toMatchObject({ seq: 6, gap: undefined });
    expect(page.entries).toHaveLength(5);
  });

  it("begins a log at any entry up to the oldest one that is known", () => {
    expect(advancePage(undefined, 4, seqs(4, 6))).toMatchObject({ seq: 6, gap: undefined });
    expect(advancePage(undefined, 4, seqs(2, 6))).toMatchObject({ seq: 6, gap: undefined });
    expect(advancePage(undefined, 4, seqs(5, 6)).gap).toBeDefined();
    expect(advancePage(undefined, 4, [])).toMatchObject({ seq: 3, gap: undefined });
  });

  it("refuses a log in which entries stand twice", () => {
    expect(advancePage(6, 4, seqs(5, 7)).gap).toBeDefined();
    expect(advancePage(undefined, 4, [...seqs(4, 6), ...seqs(4, 4)]).gap).toBeDefined();
    expect(advancePage(6, 4, seqs(7, 9))).toMatchObject({ seq: 9, gap: undefined });
  });
});

describe("what a read proves", () => {
  const read: LogRead = {
    meta,
    entries: [],
    serverMs: 100_005,
    sentAt: at(0),
    receivedAt: at(10),
  };
  const judge = (
    change: Partial<LogMeta> | Exclude<MetaReply, LogMeta>,
    reached: Partial<{ seqBefore: number; seqAfter: number; full: boolean }> = {},
  ) => {
    const changed = typeof change === "string" ? change : { ...meta, ...change };
    const all = { seqBefore: 10, seqAfter: 10, full: false, ...reached };
    const verdict = judgeRead({ ...read, meta: changed }, meta, all);
    return verdict.kind === "resync" ? verdict.cause : verdict.kind;
  };

  it("proves freshness if everything that was published before it is applied", () => {
    expect(judge({})).toBe("fresh");
    expect(judge({}, { seqBefore: 9, seqAfter: 12 })).toBe("fresh");
  });

  it("proves nothing if it may have been cut off", () => {
    expect(judge({}, { seqBefore: 5, seqAfter: 9, full: true })).toBe("more");
    expect(judge({}, { full: true })).toBe("more");
  });

  it.each([
    ["gap", {}, { seqBefore: 9, seqAfter: 9 }],
    ["fall", { seq: 9 }, {}],
    ["generation_changed", { generation: "g2" }, {}],
    ["log_changed", { runId: "run-2" }, {}],
    ["log_changed", { restoring: true }, {}],
    ["log_changed", { authority: "database" as const }, {}],
    ["log_changed", { horizonS: 1000 }, {}],
    ["log_changed", { partitions: 2 }, {}],
    ["log_changed", "missing" as const, {}],
    ["log_changed", "restoring" as const, {}],
    ["log_changed", "unreadable" as const, {}],
  ])("begins again because of a %s: %j", (cause, change, reached) => {
    expect(judge(change, reached)).toBe(cause);
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
