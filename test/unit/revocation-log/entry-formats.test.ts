/** Every kind of revocation in both formats of the log's entries. */
import { describe, expect, it } from "@jest/globals";
import fc from "fast-check";
import { decodeEntry } from "../../../src/revocation-log/entry-decoding.js";
import { entryFields, whyUnreadable } from "../../../src/revocation-log/entry-fields.js";
import type { Revocation } from "../../../src/revocation-log/entry.js";
import { packedTail } from "../../../src/revocation-log/packed-entry.js";
import { decodeRecordedEntry } from "../../../src/revocation-log/recorded-entry.js";
import { isIdentifier } from "../../../src/tokens/identifier.js";

const ISSUER = "https://issuer.example/realms/shop";
const DIGEST = "A-_9".padEnd(43, "x");

const contentOf = (revocation: Revocation) => ({
  revocation,
  eventId: "e",
  reason: 'a "reason"\n',
  actor: undefined,
  origin: "break_glass" as const,
});

/** As the publisher's script writes it. */
const inFields = (revocation: Revocation) => {
  const pairs = entryFields(contentOf(revocation));
  const fields: Record<string, string> = { seq: "7", at: "1000", forget_at: "2000" };
  for (let i = 0; i + 1 < pairs.length; i += 2) fields[pairs[i] ?? ""] = pairs[i + 1] ?? "";
  return fields;
};
const packed = (revocation: Revocation) => ({
  v2: `[7,1000,2000,${packedTail(contentOf(revocation))}`,
});
const FORMATS = [
  { format: "fields", write: inFields },
  { format: "packed", write: packed },
] as const;

const ids = fc.string({ unit: "binary", minLength: 1, maxLength: 40 }).filter(isIdentifier);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const seconds = fc.nat(4_000_000_000);
const sha256 = fc.stringMatching(/^[A-Za-z0-9_-]{43}$/);
const revocations: fc.Arbitrary<Revocation> = fc.oneof(
  fc.record({
    kind: fc.constant("session_revoked" as const),
    tenant: ids,
    session: ids,
    user: maybe(ids),
  }),
  fc
    .record({
      kind: fc.constant("user_revoked" as const),
      tenant: ids,
      user: ids,
      epoch: maybe(fc.maxSafeNat()),
      issuedBefore: maybe(seconds),
    })
    .filter(({ epoch, issuedBefore }) => epoch !== undefined || issuedBefore !== undefined),
  fc
    .record({
      kind: fc.constant("token_revoked" as const),
      tenant: ids,
      issuer: fc.constant(ISSUER),
      jti: maybe(ids),
      signedDigest: maybe(sha256),
    })
    .filter(({ jti, signedDigest }) => jti !== undefined || signedDigest !== undefined),
  fc.record({
    kind: fc.constant("client_revoked" as const),
    tenant: maybe(ids),
    client: ids,
    issuedBefore: seconds,
  }),
  fc.record({
    kind: fc.constant("key_revoked" as const),
    issuer: fc.constant(ISSUER),
    thumbprint: sha256,
  }),
  fc.record({ kind: fc.constant("tenant_revoked" as const), tenant: ids, issuedBefore: seconds }),
  fc.record({ kind: fc.constant("all_revoked" as const), issuedBefore: seconds }),
);

describe.each(FORMATS)("an entry $format", ({ write }) => {
  it("is read as it was written, whatever it names", () => {
    fc.assert(
      fc.property(revocations, (revocation) => {
        const raw = { id: "5-0", fields: write(revocation) };
        const entry = { kind: "revocation", id: "5-0", seq: 7, revocation };
        expect(decodeEntry(raw)).toEqual({ ...entry, atMs: 1000, forgetAtMs: 2000 });
        expect(whyUnreadable(contentOf(revocation), 1000)).toBeUndefined();
        const { eventId, reason, origin } = contentOf(revocation);
        expect(decodeRecordedEntry(raw)).toEqual({
          ...entry,
          atMs: 1000,
          eventId,
          reason,
          actor: undefined,
          origin,
        });
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, Revocation]>([
    [
      "jti",
      {
        kind: "token_revoked",
        tenant: "t",
        issuer: ISSUER,
        jti: undefined,
        signedDigest: undefined,
      },
    ],
    [
      "signed_digest",
      { kind: "token_revoked", tenant: "t", issuer: ISSUER, jti: "j", signedDigest: "x" },
    ],
    [
      "epoch",
      { kind: "user_revoked", tenant: "t", user: "u", epoch: undefined, issuedBefore: undefined },
    ],
    ["epoch", { kind: "user_revoked", tenant: "t", user: "u", epoch: -1, issuedBefore: undefined }],
    [
      "session",
      { kind: "session_revoked", tenant: "t", session: "s".repeat(257), user: undefined },
    ],
    ["issuer", { kind: "key_revoked", issuer: "a\u0000b", thumbprint: DIGEST }],
    ["thumbprint", { kind: "key_revoked", issuer: ISSUER, thumbprint: `${DIGEST}=` }],
    ["client", { kind: "client_revoked", tenant: "t", client: "", issuedBefore: 7 }],
    ["tenant", { kind: "tenant_revoked", tenant: "", issuedBefore: 7 }],
    ["issued_before", { kind: "all_revoked", issuedBefore: -1 }],
  ])("is not published with another %s than nodes read", (field, revocation) => {
    expect(whyUnreadable(contentOf(revocation), 1000)).toContain(`\`${field}\``);
    expect(decodeEntry({ id: "5-0", fields: write(revocation) }).kind).toBe("unreadable");
  });
});

describe("a packed entry that cannot be read", () => {
  const decode = (v2: string) => decodeEntry({ id: "5-0", fields: { v2 } });
  const inAcme = { tenant: "acme", forgetAtMs: 2000 };

  it.each([
    ["an unknown kind", '[7,1000,2000,"group_revoked","acme",1]'],
    ["a known kind without its names", '[7,1000,2000,"session_revoked","acme"]'],
    ["a name of another type", '[7,1000,2000,"session_revoked","acme",5,null]'],
    ["a time before 1970", '[7,-1,2000,"tenant_revoked","acme",7]'],
  ])("makes only the tenant uncertain that it names: %s", (_what, v2) => {
    expect(decode(v2)).toEqual({ kind: "unreadable", id: "5-0", seq: 7, scope: inAcme });
  });

  it.each([
    ["no tenant", '[7,1000,2000,"group_revoked",null]', 7],
    ["a tenant with a control character", '[7,1000,2000,"group_revoked","a\\u0000b"]', 7],
    ["no end", '[7,1000,null,"tenant_revoked","acme",7]', 7],
    ["no seq", '["7",1000,2000,"tenant_revoked","acme",7]', undefined],
    ["a seq beyond 2^53−1", '[9007199254740993,1,2,"tenant_revoked","acme",7]', undefined],
    ["no array", '{"0":7}', undefined],
    ["no JSON", "[7,1000", undefined],
    ["nothing", "", undefined],
  ])("makes all tenants uncertain: %s", (_what, v2, seq) => {
    expect(decode(v2)).toEqual({ kind: "unreadable", id: "5-0", seq, scope: undefined });
  });

  it("never throws, whatever it is", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (v2) => {
        expect(["unreadable", "log_opened"]).toContain(decode(v2).kind);
        expect(() => decodeRecordedEntry({ id: "5-0", fields: { v2 } })).not.toThrow();
      }),
      { numRuns: 1000 },
    );
  });

  it("has no record where its second line cannot be read", () => {
    const entry = '[7,1000,2000,"tenant_revoked","acme",7]';
    for (const record of ["", "\n", "\n{", '\n{"event_id":5}', "\nnull"]) {
      const decoded = decodeRecordedEntry({ id: "5-0", fields: { v2: `${entry}${record}` } });
      expect(decoded).toMatchObject({ kind: "revocation", eventId: undefined, origin: undefined });
    }
  });
});
