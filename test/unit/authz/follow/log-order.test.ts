import { describe, expect, it } from "@jest/globals";
import { advance, advancePage, judgeRead } from "../../../../src/authz/follow/log-order.js";
import type { LogMeta, LogRead, MetaReply } from "../../../../src/revocation-log/revocation-log.js";
import { META } from "../../../support/log-meta.js";

const meta = META;
const at = (ms: number) => ({ wallMs: 100_000 + ms, monotonicMs: ms });
const opened = (seq: number | string) => ({
  id: `${seq}-0`,
  fields: { v: "1", seq: String(seq), kind: "log_opened" },
});
const seqs = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => opened(from + i));

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
    replication: { replId: "repl-1", replicas: 0 },
    entries: [],
    serverMs: 100_005,
    sentAt: at(0),
    receivedAt: at(10),
  };
  const demanded = { minReplicas: 0, unkeptMaxMs: undefined };
  const judge = (
    change: Partial<LogMeta> | Exclude<MetaReply, LogMeta>,
    reached: Partial<{ seqBefore: number; seqAfter: number; full: boolean }> = {},
    joined: LogMeta = meta,
  ) => {
    const changed = typeof change === "string" ? change : { ...meta, ...change };
    const all = { seqBefore: 10, seqAfter: 10, full: false, ...reached };
    const verdict = judgeRead({ ...read, meta: changed }, joined, all, demanded);
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
    ["log_changed", { retiredAtMs: 1 }, {}],
    ["log_changed", "missing" as const, {}],
    ["log_changed", "restoring" as const, {}],
    ["log_changed", "unreadable" as const, {}],
  ])("begins again because of a %s: %j", (cause, change, reached) => {
    expect(judge(change, reached)).toBe(cause);
  });

  it("begins again where a database's log is in another life of its server", () => {
    const ofDatabase = { ...meta, authority: "database" } as const;
    expect(judge(ofDatabase, {}, ofDatabase)).toBe("fresh");
    expect(judge({ ...ofDatabase, replId: "repl-0" }, {}, ofDatabase)).toBe("server_changed");
    expect(judge({ replId: "repl-0" })).toBe("fresh");
    const withoutReplId = { ...ofDatabase, replId: undefined };
    expect(judge(withoutReplId, {}, withoutReplId)).toBe("fresh");
  });

  describe("where replicas are demanded", () => {
    const verdict = (log: number, node: number, replicas: number | undefined) => {
      const replication = { replId: "repl-1", replicas };
      const requirements = { ...demanded, minReplicas: node };
      const reached = { seqBefore: 10, seqAfter: 10, full: false };
      const found = { ...read, replication, meta: { ...meta, minReplicas: log } };
      const judged = judgeRead(found, meta, reached, requirements);
      if (judged.kind === "fresh") return judged.quorum;
      return judged.kind === "unproven" ? judged.problem.code : judged.kind;
    };

    it("asks for as many as the log or the node demands, whichever is more", () => {
      expect([verdict(0, 0, 0), verdict(1, 0, 1), verdict(1, 2, 3), verdict(2, 1, 3)]).toEqual([
        0, 1, 2, 2,
      ]);
    });

    it("proves nothing with more replicas than a quorum here and one there must meet in", () => {
      expect([verdict(1, 1, 2), verdict(1, 1, 3)]).toEqual([1, "too_many_replicas"]);
      expect([verdict(0, 1, 1), verdict(0, 1, 2)]).toEqual([1, "too_many_replicas"]);
      expect([verdict(1, 2, 3), verdict(1, 2, 4)]).toEqual([2, "too_many_replicas"]);
      expect(verdict(1, 1, undefined)).toBe("too_many_replicas");
    });

    it("has any number of them where none is demanded", () => {
      expect(verdict(0, 0, 7)).toBe(0);
    });
  });

  it("proves nothing once a log was not stamped for too long, if that is to count", () => {
    const ofDatabase = { ...meta, authority: "database" } as const;
    const verdict = (keptAtMs: number | undefined, unkeptMaxMs: number | undefined) => {
      const reached = { seqBefore: 10, seqAfter: 10, full: false };
      const found = { ...read, meta: { ...ofDatabase, keptAtMs } };
      const judged = judgeRead(found, ofDatabase, reached, { minReplicas: 0, unkeptMaxMs });
      return judged.kind === "unproven" ? judged.problem.code : judged.kind;
    };
    expect(verdict(read.serverMs - 5000, 5000)).toBe("fresh");
    expect(verdict(read.serverMs - 5001, 5000)).toBe("log_unkept");
    expect(verdict(undefined, 5000)).toBe("log_unkept");
    expect(verdict(undefined, undefined)).toBe("fresh");
  });
});
