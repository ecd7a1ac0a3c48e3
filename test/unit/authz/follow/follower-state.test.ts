import { describe, expect, it } from "@jest/globals";
import {
  groupsLeft,
  INITIAL_STATE,
  joinedIn,
  next,
  type FollowerEvent,
  type FollowerState,
} from "../../../../src/authz/follow/follower-state.js";
import type {
  LogMeta,
  LogServer,
  PreviousLog,
} from "../../../../src/revocation-log/revocation-log.js";
import { META, SERVER } from "../../../support/log-meta.js";

const meta: LogMeta = { ...META, authority: "database", coversFromMs: 7 };
const server = SERVER;
const sentAt = { wallMs: 1000, monotonicMs: 1 };
const fitLog = (change: Partial<LogMeta> = {}, on: Partial<LogServer> = {}): FollowerEvent => ({
  kind: "fit",
  meta: { ...meta, ...change },
  server: { ...server, ...on },
});
const joining: readonly FollowerEvent[] = [
  { kind: "connected" },
  fitLog(),
  { kind: "paged", seq: 10, group: "n:0:1" },
  { kind: "joined" },
];
const after = (...events: readonly FollowerEvent[]): FollowerState =>
  events.reduce(next, INITIAL_STATE);
const following = after(...joining);
const outOfStep: FollowerEvent = { kind: "out_of_step", cause: "gap", why: "lost" };

describe("a follower's state", () => {
  it("goes from connecting over paging to following", () => {
    const names = joining.map((_event, at) => after(...joining.slice(0, at + 1)).phase.name);
    expect(names).toEqual(["examining", "paging", "paging", "following"]);
    expect(following).toMatchObject({ group: "n:0:1", groupsMade: 1 });
    expect(following.applied).toEqual({ generation: "g1", seq: 10 });
    expect(following.freshness.provenAt).toBeUndefined();
  });

  it("is proven only by a proof, and no fall back takes that away or adds to it", () => {
    const proven = next(following, { kind: "proven", sentAt, coversFromMs: 7 });
    expect(proven.freshness).toEqual({ provenAt: sentAt, coversFromMs: 7 });
    for (const event of [{ kind: "lost" } as const, outOfStep]) {
      expect(next(proven, event).freshness).toEqual(proven.freshness);
      expect(next(proven, event).applied).toEqual(proven.applied);
      expect(next(proven, event).phase.name).toBe("connecting");
    }
  });

  it("goes on with its group after a lost connection", () => {
    const back = [{ kind: "lost" }, { kind: "connected" }, fitLog()] as const;
    expect(back.reduce(next, following).phase).toEqual(following.phase);
  });

  it.each([
    ["server_changed", fitLog({ runId: "run-2" }, { runId: "run-2" })],
    ["server_changed", fitLog({ replId: "repl-2" }, { replId: "repl-2" })],
    ["server_changed", fitLog({ horizonS: 971 })],
    ["server_changed", fitLog({ authority: "redis" })],
    ["generation_changed", fitLog({ generation: "g2" })],
  ])("reads the whole log again: %s", (cause, event) => {
    const back = [{ kind: "lost" }, { kind: "connected" }, event] as const;
    const { phase } = back.reduce(next, following);
    expect(phase).toMatchObject({ name: "paging", position: { kind: "none", cause } });
  });

  it("goes on with its group after a promotion where Redis itself is the authority", () => {
    const redis = { authority: "redis" } as const;
    const joined = after({ kind: "connected" }, fitLog(redis), ...joining.slice(2));
    const promoted = fitLog({ ...redis, replId: "repl-2" }, { replId: "repl-2" });
    const back = [{ kind: "lost" }, { kind: "connected" }, promoted] as const;
    expect(back.reduce(next, joined).phase.name).toBe("following");
  });

  it("keeps the first reason for reading the whole log until it has been read", () => {
    const unfit: FollowerEvent = {
      kind: "unfit",
      problem: { code: "log_missing", message: "gone" },
    };
    const cause = (state: FollowerState) =>
      state.phase.position.kind === "none" ? state.phase.position.cause : undefined;
    const lost = [outOfStep, { kind: "connected" }, unfit, { kind: "lost" }] as const;
    expect(cause(lost.reduce(next, following))).toBe("gap");
    expect(cause(next(next(following, { kind: "connected" }), unfit))).toBe("log_changed");
    expect(cause(after({ kind: "connected" }, unfit))).toBe("start");
  });

  it("remembers a group that could not be joined, so that it is removed", () => {
    const failed = after(...joining.slice(0, 3), { kind: "lost" });
    expect(failed).toMatchObject({ group: "n:0:1", phase: { position: { kind: "none" } } });
  });

  it("takes an event that cannot happen for a bug", () => {
    const proof = { kind: "proven", sentAt, coversFromMs: 0 } as const;
    for (const event of [
      proof,
      { kind: "joined" } as const,
      { kind: "advanced", seq: 1 } as const,
    ]) {
      expect(() => next(INITIAL_STATE, event)).toThrow();
    }
    expect(() => joinedIn(INITIAL_STATE)).toThrow(/connecting/);
  });

  it("ends where it is closed", () => {
    expect(next(following, { kind: "closed" }).phase.name).toBe("closed");
  });
});

describe("a follower of a log that was restored", () => {
  const previous = { generation: "g1", seq: 10, tailId: "77-0", tailSeq: 5 };
  const restored = (
    change: Partial<LogMeta> = {},
    of: Partial<PreviousLog> = {},
  ): FollowerEvent => ({
    kind: "fit",
    server,
    meta: { ...meta, generation: "g2", ...change },
    previous: { ...previous, ...of },
  });
  const back = (event: FollowerEvent, how: FollowerEvent = { kind: "lost" }, from = following) => {
    const { phase } = [how, { kind: "connected" } as const, event].reduce(next, from);
    return phase.name === "paging" ? phase.tail : phase.name;
  };
  const tail = { lastId: "77-0", seq: 5 };

  it("goes on at its tail, however it lost the log before", () => {
    expect(back(restored())).toEqual(tail);
    const unfit = { kind: "unfit", problem: { code: "log_missing", message: "gone" } } as const;
    const lost = [{ kind: "lost" }, { kind: "connected" }, unfit] as const;
    expect(back(restored(), { kind: "lost" }, lost.reduce(next, following))).toEqual(tail);
    for (const cause of ["server_changed", "log_changed", "unexpected_reply"] as const) {
      expect(back(restored(), { ...outOfStep, cause })).toEqual(tail);
    }
    expect(back(restored({}, { seq: 9 }))).toEqual(tail);
  });

  it.each([
    ["it has not applied all of it", restored({}, { seq: 11 })],
    ["it was restored from another log", restored({}, { generation: "g0" })],
    ["it does not say from which", fitLog({ generation: "g2" })],
    ["it remembers for longer", restored({ horizonS: meta.horizonS + 1 })],
    ["it covers less", restored({ coversFromMs: 8 })],
    ["it has other partitions", restored({ partitions: 2 })],
    ["no database restored it", restored({ authority: "redis" })],
  ])("reads all of it where %s", (_why, event) => {
    expect(back(event)).toBeUndefined();
  });

  it.each(["gap", "fall", "clock_jumped"] as const)("reads all of it after a %s", (cause) => {
    expect(back(restored(), { ...outOfStep, cause })).toBeUndefined();
    const lostSince = next(next(following, { ...outOfStep, cause }), { kind: "connected" });
    expect(back(restored(), { kind: "lost" }, lostSince)).toBeUndefined();
  });

  it("reads all of it after the log before was found to have fallen", () => {
    const fell = { kind: "unfit", problem: { code: "log_fell", message: "back" } } as const;
    const found = [{ kind: "lost" }, { kind: "connected" }, fell] as const;
    expect(back(restored(), { kind: "lost" }, found.reduce(next, following))).toBeUndefined();
  });

  it("reads all of it where it could not be joined at its tail", () => {
    const joiningAtTail = [
      { kind: "lost" },
      { kind: "connected" },
      restored(),
      { kind: "paged", seq: 5, group: "n:0:2" },
    ] as const;
    expect(
      back(restored(), { kind: "lost" }, joiningAtTail.reduce(next, following)),
    ).toBeUndefined();
  });

  it("goes on from there as from any log that it joined", () => {
    const joined = [
      { kind: "lost" },
      { kind: "connected" },
      restored(),
      { kind: "paged", seq: 5, group: "n:0:2" },
      { kind: "joined" },
      { kind: "advanced", seq: 6 },
    ] as const;
    const again = joined.reduce(next, following);
    expect(again).toMatchObject({ applied: { generation: "g2", seq: 6 }, group: "n:0:2" });
    const third = restored({ generation: "g3" }, { generation: "g2", seq: 6 });
    expect(back(third, { kind: "lost" }, again)).toEqual(tail);
  });
});

describe("the groups that may be left", () => {
  const left = (groupsMade: number, groupsJoined: number): readonly string[] =>
    groupsLeft("n:0", { groupsMade, groupsJoined });

  it("are none of a process that made none", () => {
    expect(left(0, 0)).toEqual([]);
  });

  it("are the one that was joined and those of the attempts since", () => {
    expect(left(3, 1)).toEqual(["n:0:1", "n:0:3", "n:0:2"]);
  });

  it("are a bounded number, the one that was joined among them however many attempts failed", () => {
    expect(left(1000, 900)).toHaveLength(40);
    expect(left(1000, 900)).toContain("n:0:900");
    expect(left(1000, 900)).toContain("n:0:1000");
  });
});
