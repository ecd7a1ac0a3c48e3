/**
 * The wrong order of an upgrade: a new `sekisho revoke` publishes what half of the nodes cannot read. Such a
 * node never allows what may be revoked. It answers 503 for the tenant that the entry names, and for
 * all tenants if it names none; what it can read it still refuses with 401.
 */
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { REVOCATION_KINDS } from "../../src/revocation-log/entry.js";
import { LOG_KEYS } from "../../src/revocation-log/partition.js";
import { redis } from "../support/following.js";
import { ALLOWED, MixedFleet, UNREADABLE, VERSIONS } from "../support/mixed-fleet.js";
import { thumbprintOf } from "../support/token-issuer.js";

const START_MS = 120_000;
const SESSION_REVOKED = "401 session_revoked";

let fleet: MixedFleet;

/** A token of this tenant's; `jti` and client as the new kinds name them. */
const tokenOf = (tenant: string, session = "s-1", claims: Readonly<Record<string, unknown>> = {}) =>
  fleet.issuer.mint({ tenant_id: tenant, session_id: session, client_id: "app", ...claims });

/** Publishes by the new command, and waits for the answer that it is in force. */
async function revoke(args: readonly string[], input?: string): Promise<void> {
  const { code, err } = await fleet.command("present", ["revoke", ...args], {}, input);
  expect({ code, err }).toMatchObject({ code: 0 });
}

/** Each in its own tenant, or in none. */
const KINDS = [
  {
    kind: "token_revoked",
    reason: "token_revoked",
    scope: "tenant",
    args: () => ["token", "--yes"],
  },
  {
    kind: "client_revoked",
    reason: "client_revoked",
    scope: "tenant",
    args: () => ["client", "--client", "app", "--tenant", "acme", "--yes"],
  },
  {
    kind: "client_revoked",
    reason: "client_revoked",
    scope: "all",
    args: () => ["client", "--client", "app", "--all-tenants", "--yes"],
  },
  {
    kind: "tenant_revoked",
    reason: "tenant_revoked",
    scope: "tenant",
    args: () => ["tenant", "--tenant", "acme", "--yes"],
  },
  {
    kind: "key_revoked",
    reason: "key_revoked",
    scope: "all",
    args: () => [
      ...["key", "--issuer", fleet.issuer.issuer],
      ...["--thumbprint", thumbprintOf(fleet.issuer.jwk()), "--yes"],
    ],
  },
  { kind: "all_revoked", reason: "all_revoked", scope: "all", args: () => ["all", "--yes"] },
] as const;

test("every kind that the last version cannot read is tried", () => {
  const readByBoth = ["session_revoked", "user_revoked"];
  const tried = new Set<string>([...readByBoth, ...KINDS.map(({ kind }) => kind)]);
  expect([...tried].sort()).toEqual([...REVOCATION_KINDS].sort());
});

describe("published to a fleet whose one half cannot read it", () => {
  beforeEach(async () => {
    fleet = await MixedFleet.open();
    const opened = await fleet.command("earlier", ["log", "init", "--nothing-was-revoked"]);
    expect(opened).toMatchObject({ code: 0 });
    await Promise.all(VERSIONS.map((version) => fleet.addNode(version, `node-${version}`)));
  }, START_MS);
  afterEach(() => fleet.close());

  test.each(KINDS)("$kind of $scope is allowed by no node", async ({ reason, scope, args }) => {
    const [revoked, elsewhere] = [tokenOf("acme"), tokenOf("globex")];
    const ended = tokenOf("acme", "s-2");
    await fleet.until(revoked, { earlier: ALLOWED, present: ALLOWED });
    await revoke(["session", "--tenant", "acme", "--session", "s-2"]);
    fleet.revoked("the session", ended);
    await fleet.until(ended, { earlier: SESSION_REVOKED, present: SESSION_REVOKED });

    await revoke(args(), revoked);
    fleet.revoked(reason, revoked);
    await fleet.until(revoked, { earlier: UNREADABLE, present: `401 ${reason}` });
    await fleet.until(ended, { earlier: SESSION_REVOKED, present: SESSION_REVOKED });
    await fleet.until(elsewhere, {
      earlier: scope === "all" ? UNREADABLE : ALLOWED,
      present: scope === "all" ? `401 ${reason}` : ALLOWED,
    });

    const late = await fleet.addNode("earlier", "node-late");
    expect(await late.check(revoked)).toBe(UNREADABLE);
    const { wrongAllows, refusals } = await fleet.watched();
    expect(wrongAllows).toEqual([]);
    expect(refusals).toBeGreaterThan(0);
  });

  test("a token is refused by its digest where the half that reads it finds no `jti`", async () => {
    const revoked = tokenOf("acme", "s-1", { jti: undefined });
    await revoke(["token", "--yes"], revoked);
    fleet.revoked("token", revoked);
    await fleet.until(revoked, { earlier: UNREADABLE, present: "401 token_revoked" });
    expect((await fleet.watched()).wrongAllows).toEqual([]);
  });

  test("an entry in format 2, whatever it revokes, is allowed by no node", async () => {
    const ended = tokenOf("acme", "s-2");
    await revoke(["session", "--tenant", "acme", "--session", "s-2"]);
    fleet.revoked("the session", ended);
    await fleet.until(ended, { earlier: SESSION_REVOKED, present: SESSION_REVOKED });
    const refused = await fleet.command("present", ["log", "format", "2"]);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("node-earlier would not be able to read it");

    await redis(fleet.redis.url, "HSET", LOG_KEYS.meta, "format", "2");
    const [revoked, elsewhere] = [tokenOf("acme"), tokenOf("globex")];
    await revoke(["session", "--tenant", "acme", "--session", "s-1"]);
    fleet.revoked("a session in format 2", revoked);
    await fleet.until(revoked, { earlier: UNREADABLE, present: SESSION_REVOKED });
    await fleet.until(elsewhere, { earlier: UNREADABLE, present: ALLOWED });
    await fleet.until(ended, { earlier: SESSION_REVOKED, present: SESSION_REVOKED });
    expect((await fleet.watched()).wrongAllows).toEqual([]);
  });
});
