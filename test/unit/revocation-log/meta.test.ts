import { describe, expect, it } from "@jest/globals";
import { META_FIELDS, parseMeta, parsePrevious } from "../../../src/revocation-log/meta-redis.js";

const facts: Readonly<Record<string, string>> = {
  generation: "g1",
  seq: "7",
  first_seq: "2",
  run_id: "run-1",
  authority: "database",
  horizon_s: "970",
  partitions: "1",
  covers_from: "0",
};
const reply = (fields: Readonly<Record<string, string>>) =>
  META_FIELDS.map((name) => fields[name] ?? null);

describe("the facts of a log in Redis", () => {
  const meta = { generation: "g1", seq: 7, firstSeq: 2, runId: "run-1", authority: "database" };
  const rest = { horizonS: 970, partitions: 1, coversFromMs: 0, restoring: false };

  it("are read whole", () => {
    const later = {
      replid: "repl-1",
      min_replicas: "2",
      kept_at: "1700",
      retired_at: "1800",
      format: "2",
    };
    const read = { replId: "repl-1", minReplicas: 2, keptAtMs: 1700, retiredAtMs: 1800, format: 2 };
    expect(parseMeta(reply({ ...facts, ...later }))).toEqual({ ...meta, ...rest, ...read });
  });

  it("are read without those that an older version does not write", () => {
    const absent = { replId: undefined, keptAtMs: undefined, retiredAtMs: undefined };
    expect(parseMeta(reply(facts))).toEqual({
      ...meta,
      ...rest,
      ...absent,
      minReplicas: 0,
      format: 1,
    });
  });

  it("stay readable beside the marker of a restore that has deleted nothing yet", () => {
    const meta = parseMeta(reply({ ...facts, restoring: "marker" }));
    expect(meta).toMatchObject({ generation: "g1", restoring: true });
  });

  it("may be missing altogether", () => {
    expect(parseMeta(reply({}))).toBe("missing");
  });

  it("are being restored where the marker stands alone, or with some of them", () => {
    expect(parseMeta(reply({ restoring: "marker" }))).toBe("restoring");
    expect(parseMeta(reply({ restoring: "marker", seq: "7" }))).toBe("restoring");
  });

  it.each([
    ["half of them", reply({ generation: "g1", seq: "7" })],
    ["a number that is none", reply({ ...facts, seq: "many" })],
    ["a number of replicas that is none", reply({ ...facts, min_replicas: "some" })],
    ["an unknown authority", reply({ ...facts, authority: "somebody" })],
    ["too few values", ["g1", null, null]],
    ["no list", "g1"],
  ])("are not understood: %s", (_what, odd) => {
    expect(parseMeta(odd)).toBe("unreadable");
  });
});

describe("the log that a log was restored from", () => {
  const fields = ["g1", "77", "1764300000000-3", "12"];

  it("is read from four fields", () => {
    const previous = { generation: "g1", seq: 77, tailId: "1764300000000-3", tailSeq: 12 };
    expect(parsePrevious(fields)).toEqual(previous);
  });

  it.each([
    ["no field", [null, null, null, null]],
    ["three fields", [...fields.slice(0, 3), null]],
    ["no generation", ["", ...fields.slice(1)]],
    ["no number", ["g1", "-1", ...fields.slice(2)]],
    ["no ID", ["g1", "77", "$", "12"]],
    ["something else", "OK"],
  ])("is none where there is %s", (_what, reply) => {
    expect(parsePrevious(reply)).toBeUndefined();
  });
});
