import { describe, expect, it } from "@jest/globals";
import {
  inheritedCoversFromMs,
  judgeFromAside,
  judgeLog,
  justBefore,
  searchedUpTo,
  type LogRecord,
} from "../../../../src/sessions/outbox/relay-decision.js";
import type { LogAdminFacts } from "../../../../src/revocation-log/log-admin.js";
import type { LogMeta, MetaReply } from "../../../../src/revocation-log/revocation-log.js";

const NOW = 1_800_000_000_000;
/** What a lost cut-off may reach into the future. */
const MARGIN_MS = 2000;
const DEMANDS = {
  horizonS: 970,
  minReplicas: 0,
  clockDifferenceMaxMs: 30_000,
};

const META: LogMeta = {
  generation: "g-1",
  seq: 10,
  firstSeq: 1,
  runId: "run-1",
  replId: "repl-1",
  authority: "database",
  horizonS: 970,
  partitions: 1,
  coversFromMs: 0,
  minReplicas: 0,
  keptAtMs: undefined,
  retiredAtMs: undefined,
  format: 1,
  restoring: false,
};
const RECORD: LogRecord = {
  generation: "g-1",
  seq: 10,
  restoringGeneration: undefined,
  importedEntryId: "5-0",
  searchedTimeline: "00000001",
  timeline: "00000001",
  searchedAtMs: NOW,
  readAtMs: NOW,
  coversFromMs: undefined,
  restoreRequestedAtMs: undefined,
  restoredAtMs: NOW,
};
const facts = (meta: MetaReply, change: Partial<LogAdminFacts> = {}): LogAdminFacts => ({
  role: "master",
  serverRunId: "run-1",
  serverReplId: "repl-1",
  serverMs: NOW,
  meta,
  ...change,
});
const judge = (found: LogAdminFacts, record: LogRecord | undefined = RECORD) =>
  judgeLog(found, record, DEMANDS, NOW);

describe("a log", () => {
  it.each([
    ["as the record says", {}, {}],
    ["with more than the record says, after a crash in between", { seq: 11 }, {}],
    ["with a longer horizon than is asked for", { horizonS: 971 }, {}],
    ["whose restore was not put down yet", {}, { restoredAtMs: undefined }],
  ])("is sound %s", (_name, meta, record) => {
    const found = { ...META, ...meta };
    expect(judge(facts(found), { ...RECORD, ...record })).toEqual({ kind: "sound", meta: found });
  });

  it.each<[string, MetaReply, Partial<LogRecord>, string]>([
    ["is missing", "missing", {}, "log_missing"],
    ["is not understood", "unreadable", {}, "log_unreadable"],
    ["was cleared and never finished", "restoring", {}, "restore_abandoned"],
    ["was marked and never cleared", { ...META, restoring: true }, {}, "restore_abandoned"],
    ["stood alone", { ...META, authority: "redis" }, {}, "authority_taken_over"],
    ["is of another server process", { ...META, runId: "run-2" }, {}, "server_changed"],
    ["says no replication ID", { ...META, replId: undefined }, {}, "server_changed"],
    ["is of another generation", META, { generation: "g-0" }, "generation_differs"],
    ["is of no generation that is recorded", META, { generation: undefined }, "generation_differs"],
    ["has fewer entries than are recorded", META, { seq: 11 }, "log_fell"],
    ["has other partitions", { ...META, partitions: 2 }, {}, "partitions_differ"],
    ["forgets too soon", { ...META, horizonS: 969 }, {}, "horizon_too_short"],
    [
      "is not the one that a restore was to make",
      META,
      { restoringGeneration: "g-2" },
      "restore_abandoned",
    ],
    ["is to be restored on request", META, { restoreRequestedAtMs: 1 }, "requested"],
  ])("is restored when it %s", (_name, meta, record, cause) => {
    expect(judge(facts(meta), { ...RECORD, ...record })).toEqual({ kind: "restore", cause });
  });

  it("is restored when the database has never had one", () => {
    const judged = judgeLog(facts(META), undefined, DEMANDS, NOW);
    expect(judged).toEqual({ kind: "restore", cause: "generation_differs" });
  });

  it.each([
    ["a replica", { role: "slave" }, "not_a_master"],
    ["a sentinel", { role: "sentinel" }, "not_a_master"],
    ["a server whose clock is ahead", { serverMs: NOW + 30_001 }, "clock_difference"],
    ["a server whose clock is behind", { serverMs: NOW - 30_001 }, "clock_difference"],
  ])("is left alone on %s, whatever it looks like", (_name, change, code) => {
    expect(judge(facts("missing", change))).toMatchObject({ kind: "wait", problem: { code } });
  });

  it.each<[string, Partial<LogMeta>]>([
    ["as the database names it", {}],
    ["of another generation", { generation: "g-9" }],
    ["that stood alone", { authority: "redis" }],
    ["of another server process", { runId: "run-2" }],
  ])("is left alone when it is a retired one, %s", (_name, change) => {
    const retired = { ...META, ...change, retiredAtMs: NOW };
    const problem = { code: "log_retired", message: expect.stringContaining("log retire --undo") };
    expect(judge(facts(retired))).toEqual({ kind: "wait", problem });
  });

  it.each([30_000, -30_000])("is judged with a clock that differs by %d ms", (differenceMs) => {
    expect(judge(facts(META, { serverMs: NOW + differenceMs })).kind).toBe("sound");
  });
});

describe("a log, as an instance sees it while another one relays", () => {
  const seen = (found: LogAdminFacts, record: LogRecord | undefined) =>
    judgeFromAside(found, record, DEMANDS, NOW)?.code;

  it.each<[string, MetaReply]>([
    ["there is none", "missing"],
    ["it is not understood", "unreadable"],
    ["it stood alone", { ...META, authority: "redis" }],
    ["it is of another generation", { ...META, generation: "g-0" }],
  ])("is another one than the database means when %s", (_name, meta) => {
    expect(seen(facts(meta), RECORD)).toBe("other_log");
  });

  it.each<[string, MetaReply, LogRecord | undefined]>([
    ["it is the recorded one", META, RECORD],
    ["it is being restored", "restoring", RECORD],
    ["one is being restored elsewhere", META, { ...RECORD, restoringGeneration: "g-2" }],
    ["the database has never had one", META, undefined],
    ["none has been made yet", "missing", { ...RECORD, generation: undefined }],
    ["the relay is about to restore it", { ...META, runId: "run-2" }, RECORD],
    ["only this instance asks for a longer horizon", { ...META, horizonS: 969 }, RECORD],
  ])("is no matter when %s", (_name, meta, record) => {
    expect(seen(facts(meta), record)).toBeUndefined();
  });

  it("is of no use on a replica", () => {
    expect(seen(facts(META, { role: "slave" }), RECORD)).toBe("not_a_master");
  });
});

describe("what a restore owns up to", () => {
  const foreign = { ...META, generation: "g-9" };
  it.each<[string, LogAdminFacts, LogRecord | undefined, number]>([
    ["nothing for the first log ever", facts("missing"), undefined, 0],
    ["nothing for a log of its own that is gone", facts("missing"), RECORD, 0],
    ["nothing for its own that was cleared", facts("restoring"), RECORD, 0],
    ["nothing for its own in another process", facts({ ...META, runId: "run-2" }), RECORD, 0],
    ["everything for a cleared one of another's", facts("restoring"), undefined, NOW + MARGIN_MS],
    ["everything for an unreadable one of another's", facts("unreadable"), undefined, NOW + 2000],
    ["what another's log covered", facts({ ...foreign, coversFromMs: 7 }), RECORD, 7],
    [
      "everything for another's that may have lost something",
      facts({ ...foreign, runId: "run-2" }),
      RECORD,
      NOW + MARGIN_MS,
    ],
    [
      "what one that stood alone covered, in whichever process",
      facts({ ...META, authority: "redis", runId: "run-2", coversFromMs: 9 }),
      RECORD,
      9,
    ],
    [
      "never more than everything",
      facts({ ...foreign, coversFromMs: NOW * 10 }),
      RECORD,
      NOW + MARGIN_MS,
    ],
  ])("is %s", (_name, found, record, expected) => {
    expect(inheritedCoversFromMs(found, record, NOW)).toBe(expected);
  });
});

describe("the search of the old log", () => {
  it.each<[string, LogAdminFacts, LogRecord | undefined, string | undefined]>([
    ["goes on where it was", facts(META), RECORD, "5-0"],
    ["goes on in a marked one", facts({ ...META, restoring: true }), RECORD, "5-0"],
    ["begins anew in one that fell", facts({ ...META, seq: 9 }), RECORD, undefined],
    ["begins anew in another's", facts({ ...META, generation: "g-9" }), RECORD, undefined],
    [
      "begins anew in one that stood alone",
      facts({ ...META, authority: "redis" }),
      RECORD,
      undefined,
    ],
    ["begins anew without facts", facts("restoring"), RECORD, undefined],
    ["begins anew without a record", facts(META), undefined, undefined],
  ])("%s", (_name, found, record, expected) => {
    expect(searchedUpTo(found, record)).toBe(expected);
  });
});

describe("the entry ID just before another", () => {
  it.each([
    ["1700000000000-5", "1700000000000-4"],
    ["1700000000000-1", "1700000000000-0"],
    ["1700000000000-0", "1699999999999-18446744073709551615"],
    ["5-18446744073709551615", "5-18446744073709551614"],
    ["0-0", undefined],
    ["no id", undefined],
  ])("of %s is %s", (id, expected) => {
    expect(justBefore(id)).toBe(expected);
  });
});
