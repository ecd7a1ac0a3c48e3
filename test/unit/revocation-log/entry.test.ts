import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { entryTimeMs } from "../../../src/revocation-log/entry.js";
import { decodeEntry } from "../../../src/revocation-log/entry-decoding.js";

const session = {
  v: "1",
  seq: "7",
  kind: "session_revoked",
  tenant: "acme",
  user: "ann",
  session: "s-1",
  at: "1000",
  forget_at: "2000",
  event_id: "e",
};
const user = {
  v: "1",
  seq: "8",
  kind: "user_revoked",
  tenant: "acme",
  user: "ann",
  epoch: "3",
  at: "1000",
  forget_at: "2000",
};
const decode = (fields: Record<string, string>) => decodeEntry({ id: "5-0", fields });
const without = (fields: Record<string, string>, name: string) =>
  Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name));

describe("decoding an entry", () => {
  it("reads the end of a session", () => {
    expect(decode(session)).toEqual({
      kind: "revocation",
      id: "5-0",
      seq: 7,
      revocation: { kind: "session_revoked", tenant: "acme", session: "s-1", user: "ann" },
      atMs: 1000,
      forgetAtMs: 2000,
    });
  });

  it("reads a user's new epoch, and a cut-off", () => {
    expect(decode(user)).toMatchObject({ revocation: { epoch: 3, issuedBefore: undefined } });
    const cutOff = { ...without(user, "epoch"), issued_before: "99" };
    expect(decode(cutOff)).toMatchObject({ revocation: { epoch: undefined, issuedBefore: 99 } });
  });

  it("reads the entry that opens a log", () => {
    expect(decode({ v: "1", seq: "1", kind: "log_opened", at: "1" })).toEqual({
      kind: "log_opened",
      id: "5-0",
      seq: 1,
    });
  });

  it("doubts only the tenant that an unknown kind names", () => {
    expect(decode({ ...session, kind: "group_revoked" })).toEqual({
      kind: "unreadable",
      id: "5-0",
      seq: 7,
      scope: { tenant: "acme", forgetAtMs: 2000 },
    });
  });

  it.each([
    ["a session's end without the session", without(session, "session")],
    ["a session of 257 characters", { ...session, session: "s".repeat(257) }],
    ["a user's end without epoch and cut-off", without(user, "epoch")],
    ["an epoch beyond 2^53−1", { ...user, epoch: "9007199254740992" }],
    ["a negative epoch", { ...user, epoch: "-1" }],
    ["an epoch with leading zeros", { ...user, epoch: "03" }],
    ["a cut-off before 1970", { ...user, issued_before: "-55035504000" }],
    ["a time of decision before 1970", { ...session, at: "-1" }],
  ])("doubts only the tenant that it names for %s", (_what, fields) => {
    const { tenant, forget_at: forgetAtMs } = fields;
    const scope = { tenant, forgetAtMs: Number(forgetAtMs) };
    expect(decode(fields)).toMatchObject({ kind: "unreadable", scope });
  });

  it.each([
    ["an unknown kind without a tenant", without({ ...session, kind: "x" }, "tenant")],
    ["an unknown kind without an end", without({ ...session, kind: "x" }, "forget_at")],
    ["a known kind without an end", without(user, "forget_at")],
    ["another version", { ...session, v: "2" }],
    ["no version", without(session, "v")],
    ["a tenant with a control character", { ...session, tenant: "a\u0000b" }],
  ])("doubts everyone for %s", (_what, fields) => {
    expect(decode(fields)).toMatchObject({ kind: "unreadable", scope: undefined });
  });

  it("doubts everyone for an entry whose seq cannot be read", () => {
    expect(decode({ ...session, seq: "x" })).toMatchObject({ kind: "unreadable", seq: undefined });
  });

  it("takes the largest epoch there is", () => {
    const entry = decode({ ...user, epoch: "9007199254740991" });
    expect(entry).toMatchObject({ revocation: { epoch: Number.MAX_SAFE_INTEGER } });
  });

  it("never throws, whatever stands in the log", () => {
    const anything = fc.dictionary(fc.string(), fc.string());
    const nearly = fc.record({
      v: fc.constantFrom("1", "2", ""),
      seq: fc.string(),
      kind: fc.constantFrom("session_revoked", "user_revoked", "log_opened", "x", "__proto__"),
      tenant: fc.string(),
      user: fc.string(),
      session: fc.string(),
      epoch: fc.string(),
    });
    fc.assert(
      fc.property(fc.oneof(anything, nearly), (fields) => {
        expect(["revocation", "log_opened", "unreadable"]).toContain(decode(fields).kind);
      }),
    );
  });
});

describe("the time of an entry", () => {
  it("stands in its ID", () => {
    expect(entryTimeMs("1795175081389-12")).toBe(1_795_175_081_389);
  });

  it.each(["", "-", "5", "x-1", "1-x"])("cannot be read from %j", (id) => {
    expect(entryTimeMs(id)).toBeUndefined();
  });
});
