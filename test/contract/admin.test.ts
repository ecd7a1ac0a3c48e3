/** What administrators do, on both databases. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";

import type { ActorContext } from "../../src/sessions/admin/admin-act.js";
import { createOperator } from "../../src/sessions/admin/operators.js";
import type { Page, PageRequest } from "../../src/sessions/admin/page.js";
import { createTenant, listTenants } from "../../src/sessions/admin/tenants.js";
import {
  disableUser,
  enableUser,
  endUserSession,
  revokeAll,
  setPassword,
  unlockUser,
} from "../../src/sessions/admin/user-acts.js";
import { listUserSessions } from "../../src/sessions/admin/user-sessions.js";
import { createUser, listUsers } from "../../src/sessions/admin/users.js";
import { login } from "../../src/sessions/login/login.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, PASSWORD, InProcessSessions } from "../support/in-process-sessions.js";
import { tenantRows } from "../support/tenant-rows.js";

/** All items of a list, read in pages of two. */
async function allOf<Item>(
  read: (
    page: PageRequest,
  ) => Promise<Page<Item> | { readonly kind: "cursor_invalid" } | undefined>,
): Promise<readonly Item[]> {
  const items: Item[] = [];
  let cursor: string | undefined;
  do {
    const page = await read({ cursor, limit: 2 });
    if (page?.kind !== "page") throw new Error("there is no page");
    expect(page.items.length).toBeLessThanOrEqual(2);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return items;
}

describe.each(DATABASES)("an administrator on $name", ({ start }) => {
  let started: StartedDatabase;
  let service: InProcessSessions;
  let by: ActorContext;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  beforeEach(() => {
    by = { ...service.administrator, reason: "because" };
  });
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  const actor = "user:administrators/an%20operator";

  test("does nothing that needs a password to be hashed if they are revoked meanwhile", async () => {
    const user = await service.addUser();
    const { tenant } = user;
    const before = await tenantRows(service.db, tenant);
    const admin = await service.addUser({ role: "tenant_admin" });
    const hasher = {
      hash: async () => {
        await revokeAll(service.parts, by, admin);
        return "$argon2id$";
      },
    };
    const parts = { ...service.parts, hasher };
    const order = { login: "backdoor", role: "user" } as const;
    const ended = { kind: "caller_ended" };
    const late = async () => ({ ...by, caller: await service.callerOf(await service.open(admin)) });
    expect(await createUser(parts, await late(), tenant, order)).toEqual(ended);
    expect(await setPassword(parts, await late(), user)).toEqual(ended);
    expect(await tenantRows(service.db, tenant)).toEqual(before);
  });

  describe("creates a tenant", () => {
    test("once, and its trail begins with that", async () => {
      const tenant = `new ${Math.random()}`;
      const created = await createTenant(service.parts, by, { tenant, name: "A name" });
      const createdAtMs = service.clock.wallMs();
      expect(created).toEqual({ kind: "created", tenant: { tenant, name: "A name", createdAtMs } });
      const again = await createTenant(service.parts, by, { tenant, name: "Another" });
      expect(again).toEqual({ kind: "exists" });
      expect(await service.auditOf(tenant)).toMatchObject([
        { kind: "tenant_created", outcome: "done", actor, reason: "because", address: ADDRESS },
      ]);
    });

    test("but never the operators' own", async () => {
      const before = await tenantRows(service.db, "sekisho");
      const outcome = await createTenant(service.parts, by, { tenant: "sekisho", name: "Mine" });
      expect(outcome).toEqual({ kind: "exists" });
      expect(await tenantRows(service.db, "sekisho")).toEqual(before);
    });

    test("and finds each once in the list, by id in the order of its bytes", async () => {
      for (const tenant of ["zz", "Zz", "zé", "z\u{1f600}"]) await service.addTenant(tenant);
      const listed = (await allOf((page) => listTenants(service.parts, page))).map(
        ({ tenant }) => tenant,
      );
      expect(new Set(listed).size).toBe(listed.length);
      const byBytes = [...listed].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect(listed).toEqual(byBytes);
      expect(listed).toEqual(expect.arrayContaining(["sekisho", "zz", "Zz", "zé", "z\u{1f600}"]));
    });
  });

  describe("creates a user", () => {
    test("with a one-time password that opens one session", async () => {
      const tenant = await service.addTenant();
      const created = await createUser(service.parts, by, tenant, { login: "ada", role: "user" });
      if (created.kind !== "created") throw new Error(created.kind);
      const { user, oneTimePassword: password } = created;
      expect(user).toMatchObject({
        login: "ada",
        role: "user",
        user: expect.stringMatching(/^[\w-]{36}$/),
      });
      expect(password).toMatch(/^([2-9A-Z]{4}-){5}[2-9A-Z]{4}$/);
      const ada = { tenant, user: user.user, login: "ada" };
      const request = service.requestOf(ada, { password: password ?? "" });
      expect(await login(service.parts, request)).toMatchObject({
        kind: "opened",
        tokens: { passwordChangeOnly: true },
      });
      expect((await service.auditOf(tenant))[0]).toMatchObject({
        kind: "user_created",
        outcome: "done",
        actor,
        userId: user.user,
        address: ADDRESS,
        reason: "because",
        detail: { role: "user", one_time_password: true },
      });
      expect(JSON.stringify(await tenantRows(service.db, tenant))).not.toContain(password);
    });

    test("with a chosen id and a password that stays", async () => {
      const tenant = await service.addTenant();
      const order = {
        userId: "ada 1",
        login: "ada",
        role: "tenant_admin",
        password: PASSWORD,
      } as const;
      const created = await createUser(service.parts, by, tenant, order);
      expect(created).toMatchObject({
        kind: "created",
        oneTimePassword: undefined,
        user: { user: "ada 1" },
      });
      const { passwordChangeOnly } = await service.open({ tenant, user: "ada 1", login: "ada" });
      expect(passwordChangeOnly).toBe(false);
    });

    test.each([
      [
        "an id that is taken",
        { userId: "ada 1", login: "other" },
        { kind: "exists", what: "user_id" },
      ],
      ["a login that is taken", { login: "ada" }, { kind: "exists", what: "login" }],
      ["both taken by one", { userId: "ada 1", login: "ada" }, { kind: "exists", what: "user_id" }],
      ["a role of the operators'", { login: "eve", role: "operator" }, { kind: "role_unfit" }],
      [
        "a password that may not be",
        { login: "eve", password: "short" },
        { kind: "password_unacceptable", problems: ["password_too_short"] },
      ],
    ] as const)("but not with %s", async (_what, order, outcome) => {
      const tenant = await service.addTenant();
      const ada = { userId: "ada 1", login: "ada", role: "user", password: PASSWORD } as const;
      await createUser(service.parts, by, tenant, ada);
      const before = await tenantRows(service.db, tenant);
      expect(await createUser(service.parts, by, tenant, { role: "user", ...order })).toEqual(
        outcome,
      );
      expect(await tenantRows(service.db, tenant)).toEqual(before);
    });

    test("but not in a tenant that does not exist, nor another than an operator among operators", async () => {
      const order = { login: "eve", role: "user" } as const;
      expect(await createUser(service.parts, by, "nowhere", order)).toEqual({
        kind: "tenant_not_found",
      });
      expect(await createUser(service.parts, by, "sekisho", order)).toEqual({ kind: "role_unfit" });
    });

    test("once where several try at the same time", async () => {
      const tenant = await service.addTenant();
      const order = { login: "ada", role: "user", password: PASSWORD } as const;
      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () => createUser(service.parts, by, tenant, order)),
      );
      const kinds = outcomes.map((one) => (one.kind === "exists" ? one.what : one.kind)).sort();
      expect(kinds).toEqual(["created", "login", "login", "login", "login"]);
      expect(await service.trailOf(tenant)).toHaveLength(1);
    });

    test("and finds each in the tenant's list, with what stands in their way", async () => {
      const tenant = await service.addTenant();
      const [one, two] = [await service.addUser({ tenant }), await service.addUser({ tenant })];
      for (let tries = 0; tries < 5; tries += 1) await service.addUser({ tenant });
      await disableUser(service.parts, by, one);
      await lock(two);
      const listed = await allOf((page) => listUsers(service.parts, tenant, page));
      expect(listed).toHaveLength(7);
      const nowMs = service.clock.wallMs();
      expect(listed.find(({ user }) => user === one.user)).toMatchObject({ disabledAtMs: nowMs });
      const locked = listed.find(({ user }) => user === two.user);
      expect(locked?.lockedUntilMs).toBeGreaterThan(nowMs);
      expect(await listUsers(service.parts, "nowhere", { limit: 1 })).toBeUndefined();
    });

    test("and takes no cursor of another tenant's list", async () => {
      const [mine, theirs] = [await service.addTenant(), await service.addTenant()];
      for (const tenant of [theirs, theirs]) await service.addUser({ tenant });
      const page = await listUsers(service.parts, theirs, { limit: 1 });
      const cursor = page?.kind === "page" ? page.nextCursor : undefined;
      expect(cursor).toBeDefined();
      expect(await listUsers(service.parts, mine, { limit: 1, cursor })).toEqual({
        kind: "cursor_invalid",
      });
    });
  });

  async function lock(user: Awaited<ReturnType<InProcessSessions["addUser"]>>): Promise<void> {
    for (let failures = 0; failures < 10; failures += 1) {
      await login(service.parts, service.requestOf(user, { password: "wrong" }));
    }
    expect(await login(service.parts, service.requestOf(user))).toMatchObject({
      code: "account_locked",
    });
  }

  describe("ends", () => {
    test("one session and no other", async () => {
      const user = await service.addUser();
      const [{ sessionId }, other] = [await service.open(user), await service.open(user)];
      const ended = await endUserSession(service.parts, by, { ...user, session: sessionId });
      const revocation = {
        kind: "session_revoked",
        tenant: user.tenant,
        user: user.user,
        session: sessionId,
      };
      expect(ended).toMatchObject({ committed: [{ revocation, reason: "because", actor }] });
      const [recorded] = await service.revocationsOf(user.tenant);
      expect(recorded).toMatchObject({ sessionId, publishedAt: null, reason: "because", actor });
      expect((await service.auditOf(user.tenant)).at(-1)).toMatchObject({
        kind: "session_revoked",
        actor,
        userId: user.user,
        sessionId,
        eventId: recorded?.eventId,
        reason: "because",
      });
      await service.callerOf(other);
      const sessions = await allOf((page) => listUserSessions(service.parts, user, page));
      expect(sessions.map((one) => [one.sessionId, one.endedBy])).toEqual(
        expect.arrayContaining([
          [sessionId, "session_revoked"],
          [other.sessionId, undefined],
        ]),
      );
    });

    test("everything of a user, whose epoch rises each time", async () => {
      const user = await service.addUser();
      const tokens = await service.open(user);
      for (const epoch of [1, 2]) {
        const ended = await revokeAll(service.parts, by, user);
        expect(ended).toMatchObject({
          committed: [{ revocation: { kind: "user_revoked", epoch } }],
        });
      }
      await expect(service.callerOf(tokens)).rejects.toThrow("refused");
      expect((await service.trailOf(user.tenant)).slice(1)).toEqual([
        "user_revoked done because",
        "user_revoked done because",
      ]);
      await service.open(user);
    });

    test("nothing where it cannot be recorded", async () => {
      const user = await service.addUser();
      await service.open(user);
      const before = await tenantRows(service.db, user.tenant);
      const broken = { ...service.parts, newEventId: () => "no UUID" };
      for (const act of [revokeAll, disableUser, setPassword]) {
        await expect(act(broken, by, user)).rejects.toThrow("database");
      }
      expect(await tenantRows(service.db, user.tenant)).toEqual(before);
    });

    test("nothing of a user of the same id in another tenant", async () => {
      const [one, other] = [await service.addTenant(), await service.addTenant()];
      const order = { userId: "ada", login: "ada", role: "user", password: PASSWORD } as const;
      for (const tenant of [one, other]) await createUser(service.parts, by, tenant, order);
      await service.open({ tenant: other, user: "ada", login: "ada" });
      const before = await tenantRows(service.db, other);
      const target = { tenant: one, user: "ada" };
      await revokeAll(service.parts, by, target);
      await disableUser(service.parts, by, target);
      await setPassword(service.parts, by, target);
      await unlockUser(service.parts, by, target);
      expect(await tenantRows(service.db, other)).toEqual(before);
    });
  });

  test("lets nobody log in as a disabled user until they are enabled again", async () => {
    const user = await service.addUser();
    const tokens = await service.open(user);
    expect(await disableUser(service.parts, by, user)).toMatchObject({ kind: "done" });
    const sinceMs = service.clock.wallMs();
    await expect(service.callerOf(tokens)).rejects.toThrow("refused");
    service.clock.advance(1000);
    expect(await disableUser(service.parts, by, user)).toMatchObject({ kind: "done" });
    expect((await service.userRow(user)).disabledAt?.getTime()).toBe(sinceMs);
    expect(await login(service.parts, service.requestOf(user))).toMatchObject({
      code: "account_disabled",
    });
    expect(await enableUser(service.parts, by, user)).toBe(true);
    await expect(service.callerOf(tokens)).rejects.toThrow("refused");
    await service.open(user);
    const trail = await service.trailOf(user.tenant);
    expect(trail.filter((line) => line.startsWith("user_"))).toEqual([
      "user_disabled done because",
      "user_disabled done because",
      "user_enabled done because",
    ]);
  });

  test("ends a lockout", async () => {
    const user = await service.addUser();
    await lock(user);
    expect(await unlockUser(service.parts, by, user)).toBe(true);
    expect(await service.failuresOf(user.tenant, user.login)).toBeUndefined();
    await service.open(user);
    expect(await service.trailOf(user.tenant)).toContain("account_unlocked done because");
  });

  describe("sets a password", () => {
    test.each([
      ["a one-time one", undefined, true],
      ["a given one", "quite another password", false],
    ])("%s, and ends everything", async (_what, password, oneTime) => {
      const user = await service.addUser();
      const tokens = await service.open(user);
      const outcome = await setPassword(service.parts, by, { ...user, password });
      if (outcome?.kind !== "set") throw new Error("it was not set");
      expect(outcome.committed).toMatchObject([{ revocation: { kind: "user_revoked", epoch: 1 } }]);
      await expect(service.callerOf(tokens)).rejects.toThrow("refused");
      expect(await login(service.parts, service.requestOf(user))).toMatchObject({
        code: "bad_credentials",
      });
      const now = password ?? outcome.oneTimePassword ?? "";
      expect(await login(service.parts, service.requestOf(user, { password: now }))).toMatchObject({
        kind: "opened",
        tokens: { passwordChangeOnly: oneTime },
      });
      const row = (await service.auditOf(user.tenant)).find(({ kind }) => kind === "password_set");
      expect(row).toMatchObject({ actor, detail: { one_time_password: oneTime } });
      expect(JSON.stringify(row)).not.toContain(now);
    });

    test("only by the rules", async () => {
      const user = await service.addUser();
      const before = await tenantRows(service.db, user.tenant);
      expect(await setPassword(service.parts, by, { ...user, password: user.login })).toEqual({
        kind: "password_unacceptable",
        problems: ["password_is_login"],
      });
      expect(await tenantRows(service.db, user.tenant)).toEqual(before);
    });
  });

  test("does nothing to a user or a session that there is not", async () => {
    const [user, stranger] = [await service.addUser(), await service.addUser()];
    const { sessionId } = await service.open(stranger);
    const before = [
      await tenantRows(service.db, user.tenant),
      await tenantRows(service.db, stranger.tenant),
    ];
    for (const nobody of [
      { tenant: user.tenant, user: "nobody" },
      { tenant: user.tenant, user: stranger.user },
      { tenant: "nowhere", user: user.user },
    ]) {
      for (const act of [revokeAll, disableUser, setPassword]) {
        expect(await act(service.parts, by, nobody)).toBeUndefined();
      }
      expect(await enableUser(service.parts, by, nobody)).toBe(false);
      expect(await unlockUser(service.parts, by, nobody)).toBe(false);
      expect(await listUserSessions(service.parts, nobody, { limit: 1 })).toBeUndefined();
    }
    const session = { ...user, session: sessionId };
    expect(await endUserSession(service.parts, by, session)).toBeUndefined();
    const after = [
      await tenantRows(service.db, user.tenant),
      await tenantRows(service.db, stranger.tenant),
    ];
    expect(after).toEqual(before);
  });

  describe("among operators", () => {
    test("is made from the command line with a one-time password", async () => {
      const made = await createOperator(service.parts, { login: "first", actor: "cli:root" });
      if (made.kind !== "created") throw new Error(made.kind);
      const first = { tenant: "sekisho", user: made.userId, login: "first" };
      const request = service.requestOf(first, { password: made.oneTimePassword });
      expect(await login(service.parts, request)).toMatchObject({ kind: "opened" });
      expect((await service.auditOf("sekisho"))[0]).toMatchObject({
        kind: "operator_created",
        actor: "cli:root",
        userId: made.userId,
        address: null,
        detail: { role: "operator" },
      });
      const again = await createOperator(service.parts, { login: "first", actor: "cli:root" });
      expect(again).toEqual({ kind: "exists", what: "login" });
    });

    test("leaves one who is not disabled, whoever disables whom at the same time", async () => {
      const enabled = async () =>
        (await allOf((page) => listUsers(service.parts, "sekisho", page))).filter(
          ({ disabledAtMs }) => disabledAtMs === undefined,
        );
      for (let tries = 0; tries < 3; tries += 1)
        await service.addUser({ tenant: "sekisho", role: "operator" });
      const all = await enabled();
      const outcomes = await Promise.all(
        all.map(({ user }) => disableUser(service.parts, by, { tenant: "sekisho", user })),
      );
      const kinds = outcomes.map((outcome) => outcome?.kind);
      expect(kinds.filter((kind) => kind === "last_operator")).toHaveLength(1);
      const [last, ...others] = await enabled();
      expect(others).toEqual([]);
      const target = { tenant: "sekisho", user: last?.user ?? "" };
      expect(await disableUser(service.parts, by, target)).toEqual({ kind: "last_operator" });
      // One who is disabled already may be disabled again: nothing is lost by it.
      const gone = all.find(({ user }) => user !== last?.user)?.user ?? "";
      const again = await disableUser(service.parts, by, { tenant: "sekisho", user: gone });
      expect(again).toMatchObject({ kind: "done" });
    });
  });
});
