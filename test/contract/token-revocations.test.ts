/** What is revoked apart from users and sessions, on both databases. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";

import { actOf, type ActorContext } from "../../src/sessions/admin/admin-act.js";
import {
  liftKeyRevocation,
  revokeClient,
  revokeEverything,
  revokeKey,
  revokeTenant,
  revokeToken,
} from "../../src/sessions/admin/token-revocations.js";
import { listUserSessions } from "../../src/sessions/admin/user-sessions.js";
import { createUser } from "../../src/sessions/admin/users.js";
import { cutOffs, revokedKeys } from "../../src/sessions/database/schema-sql.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import { listOwnSessions, logout } from "../../src/sessions/login/own-sessions.js";
import { changeOwnPassword } from "../../src/sessions/login/password-change.js";
import { cutOffOf } from "../../src/revocation-log/entry.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, PASSWORD } from "../support/in-process-sessions.js";
import { tenantRows } from "../support/tenant-rows.js";

const ISSUER = "https://issuer.example";
const SIGNED = "A".repeat(43);
const TOKEN = { tenant: undefined, issuer: ISSUER, jti: "one", signedDigest: SIGNED };
const KEY = { issuer: ISSUER, thumbprint: "B".repeat(43) };

describe.each(DATABASES)("on $name", ({ start }) => {
  let started: StartedDatabase;
  let service: InProcessSessions;
  /** An operator, logged in after whatever was cut off before. */
  let by: ActorContext;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  beforeEach(async () => {
    service.clock.advance(1000);
    const operator = await service.addUser({ tenant: "sekisho", role: "operator" });
    const caller = await service.callerOf(await service.open(operator));
    by = { caller, address: ADDRESS, reason: "because" };
  });
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  const nextSecond = (): number => Math.floor(service.clock.wallMs() / 1000) + 1;

  async function endsOf(user: { tenant: string; user: string }) {
    const page = await listUserSessions(service.parts, user, { limit: 10 });
    if (page?.kind !== "page") throw new Error("there is no page");
    return page.items.map(({ endedAtMs, endedBy }) => ({ endedAtMs, endedBy }));
  }

  const IN_TENANT = {
    token_revoked: (tenant: string) => revokeToken(service.parts, by, { tenant, token: TOKEN }),
    client_revoked: (tenant: string) => revokeClient(service.parts, by, { tenant, client: "cli" }),
    tenant_revoked: (tenant: string) => revokeTenant(service.parts, by, tenant),
  } as const;

  describe.each([
    [
      "token_revoked",
      { issuer: ISSUER, jti: "one", signedDigest: SIGNED },
      { issuer: ISSUER, jti: "one", signed_digest: SIGNED },
    ],
    ["client_revoked", { client: "cli" }, { client: "cli" }],
    ["tenant_revoked", {}, {}],
  ] as const)("%s", (kind, names, detail) => {
    const isCutOff = kind !== "token_revoked";

    test("is committed with a row in the tenant's trail, and touches no other tenant", async () => {
      const [tenant, other] = [await service.addTenant(), await service.addTenant()];
      const before = await tenantRows(service.db, other);
      const outcome = await IN_TENANT[kind](tenant);
      if (outcome?.kind !== "done") throw new Error("it was not done");
      const { actor } = actOf(by);
      const [committed] = outcome.committed;
      expect(outcome.committed).toMatchObject([
        {
          revocation: {
            kind,
            tenant,
            ...names,
            ...(isCutOff ? { issuedBefore: nextSecond() } : {}),
          },
          atMs: service.clock.wallMs(),
          reason: "because",
          actor,
        },
      ]);
      expect(await service.auditOf(tenant)).toMatchObject([
        {
          kind,
          outcome: "done",
          reason: "because",
          actor,
          address: ADDRESS,
          eventId: committed?.eventId,
          detail: { ...detail, ...(isCutOff ? { issued_before: nextSecond() } : {}) },
        },
      ]);
      expect(await service.revocationsOf(tenant)).toMatchObject([
        { kind, eventId: committed?.eventId, publishedAt: null },
      ]);
      expect(await tenantRows(service.db, other)).toEqual(before);
    });

    test("finds no tenant that does not exist, and leaves nothing", async () => {
      expect(await IN_TENANT[kind]("nowhere")).toBeUndefined();
      expect(await tenantRows(service.db, "nowhere")).toEqual([]);
    });

    test("does nothing for a caller who was cut off before", async () => {
      const tenant = await service.addTenant();
      await revokeTenant(service.parts, by, by.caller.tenant);
      const before = await tenantRows(service.db, tenant);
      expect(await IN_TENANT[kind](tenant)).toEqual({ kind: "caller_ended" });
      expect(await tenantRows(service.db, tenant)).toEqual(before);
    });
  });

  test.each([
    ["client_revoked", { client: "cli" }],
    ["key_revoked", KEY],
    ["all_revoked", {}],
  ] as const)("%s of all tenants is in the operators' trail", async (kind, names) => {
    const acts = {
      client_revoked: () => revokeClient(service.parts, by, { tenant: undefined, client: "cli" }),
      key_revoked: () => revokeKey(service.parts, by, KEY),
      all_revoked: () => revokeEverything(service.parts, by),
    } as const;
    const outcome = await acts[kind]();
    if (outcome?.kind !== "done") throw new Error("it was not done");
    const isCutOff = kind !== "key_revoked";
    const cutOff = isCutOff ? { issuedBefore: nextSecond() } : {};
    expect(outcome.committed).toMatchObject([{ revocation: { kind, ...names, ...cutOff } }]);
    const eventId = outcome.committed[0]?.eventId;
    const stored = await service.revocationsOf("sekisho");
    expect(stored.filter((row) => row.eventId === eventId)).toMatchObject([{ kind }]);
    const detail = { ...names, ...(isCutOff ? { issued_before: nextSecond() } : {}) };
    const trail = await service.auditOf("sekisho");
    expect(trail.at(-1)).toMatchObject({ kind, outcome: "done", eventId, detail, ...actOf(by) });
  });

  describe.each([
    ["tenant_revoked", (tenant: string) => revokeTenant(service.parts, by, tenant)],
    ["all_revoked", () => revokeEverything(service.parts, by)],
  ] as const)("%s", (kind, cutOff) => {
    test("ends sessions with their refresh tokens, and no login after it", async () => {
      const user = await service.addUser();
      const opened = await service.open(user);
      const caller = await service.callerOf(opened);
      const ended = await service.open(user);
      await logout(service.parts, await service.callerOf(ended), ADDRESS);
      const loggedOutAtMs = service.clock.wallMs();
      service.clock.advance(1000);
      await cutOff(user.tenant);
      const cutOffMs = nextSecond() * 1000;
      expect(await service.refresh(opened.refreshToken)).toMatchObject({ code: "session_ended" });
      expect(await callerOf(service.parts, opened.accessToken)).toBeUndefined();
      expect(await listOwnSessions(service.parts, caller)).toEqual([]);
      expect(await endsOf(user)).toEqual(
        expect.arrayContaining([
          { endedAtMs: cutOffMs, endedBy: kind },
          { endedAtMs: loggedOutAtMs, endedBy: "logout" },
        ]),
      );
      service.clock.advance(1000);
      const again = await service.open(user);
      await service.rotate(again.refreshToken);
      expect((await endsOf(user))[0]).toEqual({ endedAtMs: undefined, endedBy: undefined });
    });

    test.each([
      ["began", 0],
      ["was refreshed", 1],
    ])("covers a session that %s by a clock that is ahead", async (_, rotations) => {
      const user = await service.addUser();
      service.clock.advance(service.parts.clockSkewMs);
      let opened = await service.open(user);
      for (let i = 0; i < rotations; i += 1) opened = await service.rotate(opened.refreshToken);
      const { issuedAtS } = service.mint.factsOf(opened.accessToken);
      service.clock.advance(-service.parts.clockSkewMs);
      const outcome = await cutOff(user.tenant);
      if (outcome?.kind !== "done") throw new Error("it was not done");
      const { revocation } = outcome.committed[0] ?? {};
      expect(revocation && cutOffOf(revocation)).toBe(issuedAtS + 1);
      service.clock.advance(service.parts.clockSkewMs + 1000);
      expect(await service.refresh(opened.refreshToken)).toMatchObject({ code: "session_ended" });
    });

    test("leaves a caller nothing to do afterwards, hashing or not", async () => {
      const admin = await service.addUser({ role: "tenant_admin" });
      const { tenant } = admin;
      const caller = await service.callerOf(await service.open(admin));
      const before = await service.sessionsOf(admin);
      const hasher = {
        verify: () => Promise.resolve(true),
        hash: async () => {
          await cutOff(tenant);
          return "$argon2id$";
        },
      };
      const parts = { ...service.parts, hasher };
      const own = { caller, address: ADDRESS };
      const order = { login: "backdoor", role: "user" } as const;
      expect(await createUser(parts, own, tenant, order)).toEqual({ kind: "caller_ended" });
      const passwords = { currentPassword: PASSWORD, newPassword: "another long password" };
      service.clock.advance(1000);
      const again = await service.callerOf(await service.open(admin));
      const operator = await service.addUser({ tenant: "sekisho", role: "operator" });
      by = { ...by, caller: await service.callerOf(await service.open(operator)) };
      const change = { ...passwords, address: ADDRESS };
      expect(await changeOwnPassword(parts, again, change)).toMatchObject({
        code: "session_ended",
      });
      expect(await logout(service.parts, caller, ADDRESS)).toEqual({ kind: "caller_ended" });
      const same = await service.sessionsOf(admin);
      expect(same).toEqual(expect.arrayContaining(before));
    });
  });

  test("a tenant's cut-off leaves other tenants' sessions open", async () => {
    const [user, other] = [await service.addUser(), await service.addUser()];
    const opened = await service.open(other);
    await revokeTenant(service.parts, by, user.tenant);
    await service.rotate(opened.refreshToken);
    expect(await endsOf(other)).toEqual([{ endedAtMs: undefined, endedBy: undefined }]);
  });

  test("a cut-off never falls", async () => {
    const tenant = await service.addTenant();
    const cutOffMs = async () =>
      service.asTenant(tenant, async (queries) => {
        const rows = await queries.select().from(cutOffs);
        return rows.find(({ tenantId }) => tenantId === tenant)?.issuedBefore.getTime();
      });
    await revokeTenant(service.parts, by, tenant);
    const first = nextSecond() * 1000;
    service.clock.setWall(-60_000);
    await revokeTenant(service.parts, by, tenant);
    service.clock.setWall(60_000);
    expect(await cutOffMs()).toBe(first);
    service.clock.advance(1000);
    await revokeTenant(service.parts, by, tenant);
    expect(await cutOffMs()).toBe(first + 1000);
  });

  test("a key stays revoked until it is lifted, and can be revoked again", async () => {
    const key = { issuer: ISSUER, thumbprint: "C".repeat(43) };
    const keyRow = async () => {
      const rows = await service.asTenant("sekisho", (queries) =>
        queries.select().from(revokedKeys),
      );
      return rows.find(({ thumbprint }) => thumbprint === key.thumbprint);
    };
    expect(await liftKeyRevocation(service.parts, by, key)).toBe(false);
    await revokeKey(service.parts, by, key);
    const { actor } = actOf(by);
    const revokedAt = new Date(service.clock.wallMs());
    const revoked = { ...key, reason: "because", actor, revokedAt, liftedAt: null };
    expect(await keyRow()).toEqual(revoked);
    service.clock.advance(1000);
    for (const reason of ["rotated", "once more"]) {
      expect(await liftKeyRevocation(service.parts, { ...by, reason }, key)).toBe(true);
    }
    expect(await keyRow()).toEqual({ ...revoked, liftedAt: new Date(service.clock.wallMs()) });
    const lifts = (await service.auditOf("sekisho")).filter(
      ({ kind }) => kind === "key_revocation_lifted",
    );
    expect(lifts).toMatchObject([{ outcome: "done", reason: "rotated", actor, detail: key }]);
    await revokeKey(service.parts, { ...by, reason: undefined }, key);
    const again = { revokedAt: new Date(service.clock.wallMs()), reason: null };
    expect(await keyRow()).toEqual({ ...revoked, ...again });
  });
});
