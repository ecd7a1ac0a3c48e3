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
  let stage: InProcessSessions;
  let by: ActorContext;
  beforeAll(async () => {
    started = await start();
    stage = new InProcessSessions(started.database);
  });
  beforeEach(() => {
    by = { ...stage.administrator, reason: "because" };
  });
  afterAll(async () => {
    await stage.close();
    await started.stop();
  });

  const actor = "user:administrators/an%20operator";

  test("does nothing that needs a password to be hashed if they are revoked meanwhile", async () => {
    const user = await stage.addUser();
    const { tenant } = user;
    const before = await tenantRows(stage.db, tenant);
    const admin = await stage.addUser({ role: "tenant_admin" });
    const hasher = {
      hash: async () => {
        await revokeAll(stage.parts, by, admin);
        return "$argon2id$";
      },
    };
    const parts = { ...stage.parts, hasher };
    const order = { login: "backdoor", role: "user" } as const;
    const ended = { kind: "caller_ended" };
    const late = async () => ({ ...by, caller: await stage.callerOf(await stage.open(admin)) });
    expect(await createUser(parts, await late(), tenant, order)).toEqual(ended);
    expect(await setPassword(parts, await late(), user)).toEqual(ended);
    expect(await tenantRows(stage.db, tenant)).toEqual(before);
  });

  describe("creates a tenant", () => {
    test("once, and its trail begins with that", async () => {
      const tenant = `new ${Math.random()}`;
      const created = await createTenant(stage.parts, by, { tenant, name: "A name" });
      const createdAtMs = stage.clock.wallMs();
      expect(created).toEqual({ kind: "created", tenant: { tenant, name: "A name", createdAtMs } });
      const again = await createTenant(stage.parts, by, { tenant, name: "Another" });
      expect(again).toEqual({ kind: "exists" });
      expect(await stage.auditOf(tenant)).toMatchObject([
        { kind: "tenant_created", outcome: "done", actor, reason: "because", address: ADDRESS },
      ]);
    });

    test("but never the operators' own", async () => {
      const before = await tenantRows(stage.db, "sekisho");
      const outcome = await createTenant(stage.parts, by, { tenant: "sekisho", name: "Mine" });
      expect(outcome).toEqual({ kind: "exists" });
      expect(await tenantRows(stage.db, "sekisho")).toEqual(before);
    });

    test("and finds each once in the list, by id in the order of its bytes", async () => {
      for (const tenant of ["zz", "Zz", "zé", "z\u{1f600}"]) await stage.addTenant(tenant);
      const listed = (await allOf((page) => listTenants(stage.parts, page))).map(
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
      const tenant = await stage.addTenant();
      const created = await createUser(stage.parts, by, tenant, { login: "ada", role: "user" });
      if (created.kind !== "created") throw new Error(created.kind);
      const { user, oneTimePassword: password } = created;
      expect(user).toMatchObject({
        login: "ada",
        role: "user",
        user: expect.stringMatching(/^[\w-]{36}$/),
      });
      expect(password).toMatch(/^([2-9A-Z]{4}-){5}[2-9A-Z]{4}$/);
      const ada = { tenant, user: user.user, login: "ada" };
      const request = stage.requestOf(ada, { password: password ?? "" });
      expect(await login(stage.parts, request)).toMatchObject({
        kind: "opened",
        tokens: { passwordChangeOnly: true },
      });
      expect((await stage.auditOf(tenant))[0]).toMatchObject({
        kind: "user_created",
        outcome: "done",
        actor,
        userId: user.user,
        address: ADDRESS,
        reason: "because",
        detail: { role: "user", one_time_password: true },
      });
      expect(JSON.stringify(await tenantRows(stage.db, tenant))).not.toContain(password);
    });

    test("with a chosen id and a password that stays", async () => {
      const tenant = await stage.addTenant();
      const order = {
        userId: "ada 1",
        login: "ada",
        role: "tenant_admin",
        password: PASSWORD,
      } as const;
      const created = await createUser(stage.parts, by, tenant, order);
      expect(created).toMatchObject({
        kind: "created",
        oneTimePassword: undefined,
        user: { user: "ada 1" },
      });
      const { passwordChangeOnly } = await stage.open({ tenant, user: "ada 1", login: "ada" });
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
      const tenant = await stage.addTenant();
      const ada = { userId: "ada 1", login: "ada", role: "user", password: PASSWORD } as const;
      await createUser(stage.parts, by, tenant, ada);
      const before = await tenantRows(stage.db, tenant);
      expect(await createUser(stage.parts, by, tenant, { role: "user", ...order })).toEqual(
        outcome,
      );
      expect(await tenantRows(stage.db, tenant)).toEqual(before);
    });

    test("but not in a tenant that does not exist, nor another than an operator among operators", async () => {
      const order = { login: "eve", role: "user" } as const;
      expect(await createUser(stage.parts, by, "nowhere", order)).toEqual({
        kind: "tenant_not_found",
      });
      expect(await createUser(stage.parts, by, "sekisho", order)).toEqual({ kind: "role_unfit" });
    });

    test("once where several try at the same time", async () => {
      const tenant = await stage.addTenant();
      const order = { login: "ada", role: "user", password: PASSWORD } as const;
      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () => createUser(stage.parts, by, tenant, order)),
      );
      const kinds = outcomes.map((one) => (one.kind === "exists" ? one.what : one.kind)).sort();
      expect(kinds).toEqual(["created", "login", "login", "login", "login"]);
      expect(await stage.trailOf(tenant)).toHaveLength(1);
    });

    test("and finds each in the tenant's list, with what stands in their way", async () => {
      const tenant = await stage.addTenant();
      const [one, two] = [await stage.addUser({ tenant }), await stage.addUser({ tenant })];
      for (let tries = 0; tries < 5; tries += 1) await stage.addUser({ tenant });
      await disableUser(stage.parts, by, one);
      await lock(two);
      const listed = await allOf((page) => listUsers(stage.parts, tenant, page));
      expect(listed).toHaveLength(7);
      const nowMs = stage.clock.wallMs();
      expect(listed.find(({ user }) => user === one.user)).toMatchObject({ disabledAtMs: nowMs });
      const locked = listed.find(({ user }) => user === two.user);
      expect(locked?.lockedUntilMs).toBeGreaterThan(nowMs);
      expect(await listUsers(stage.parts, "nowhere", { limit: 1 })).toBeUndefined();
    });

    test("and takes no cursor of another tenant's list", async () => {
      const [mine, theirs] = [await stage.addTenant(), await stage.addTenant()];
      for (const tenant of [theirs, theirs]) await stage.addUser({ tenant });
      const page = await listUsers(stage.parts, theirs, { limit: 1 });
      const cursor = page?.kind === "page" ? page.nextCursor : undefined;
      expect(cursor).toBeDefined();
      expect(await listUsers(stage.parts, mine, { limit: 1, cursor })).toEqual({
        kind: "cursor_invalid",
      });
    });
  });

  async function lock(user: Awaited<ReturnType<InProcessSessions["addUser"]>>): Promise<void> {
    for (let failures = 0; failures < 10; failures += 1) {
      await login(stage.parts, stage.requestOf(user, { password: "wrong" }));
    }
    expect(await login(stage.parts, stage.requestOf(user))).toMatchObject({
      code: "account_locked",
    });
  }

  describe("ends", () => {
    test("one session and no other", async () => {
      const user = await stage.addUser();
      const [{ sessionId }, other] = [await stage.open(user), await stage.open(user)];
      const ended = await endUserSession(stage.parts, by, { ...user, session: sessionId });
      const revocation = {
        kind: "session_revoked",
        tenant: user.tenant,
        user: user.user,
        session: sessionId,
      };
      expect(ended).toMatchObject({ committed: [{ revocation, reason: "because", actor }] });
      const [recorded] = await stage.revocationsOf(user.tenant);
      expect(recorded).toMatchObject({ sessionId, publishedAt: null, reason: "because", actor });
      expect((await stage.auditOf(user.tenant)).at(-1)).toMatchObject({
        kind: "session_revoked",
        actor,
        userId: user.user,
        sessionId,
        eventId: recorded?.eventId,
        reason: "because",
      });
      await stage.callerOf(other);
      const sessions = await allOf((page) => listUserSessions(stage.parts, user, page));
      expect(sessions.map((one) => [one.sessionId, one.endedBy])).toEqual(
        expect.arrayContaining([
          [sessionId, "session_revoked"],
          [other.sessionId, undefined],
        ]),
      );
    });

    test("everything of a user, whose epoch rises each time", async () => {
      const user = await stage.addUser();
      const tokens = await stage.open(user);
      for (const epoch of [1, 2]) {
        const ended = await revokeAll(stage.parts, by, user);
        expect(ended).toMatchObject({
          committed: [{ revocation: { kind: "user_revoked", epoch } }],
        });
      }
      await expect(stage.callerOf(tokens)).rejects.toThrow("refused");
      expect((await stage.trailOf(user.tenant)).slice(1)).toEqual([
        "user_revoked done because",
        "user_revoked done because",
      ]);
      await stage.open(user);
    });

    test("nothing where it cannot be recorded", async () => {
      const user = await stage.addUser();
      await stage.open(user);
      const before = await tenantRows(stage.db, user.tenant);
      const broken = { ...stage.parts, newEventId: () => "no UUID" };
      for (const act of [revokeAll, disableUser, setPassword]) {
        await expect(act(broken, by, user)).rejects.toThrow("database");
      }
      expect(await tenantRows(stage.db, user.tenant)).toEqual(before);
    });

    test("nothing of a user of the same id in another tenant", async () => {
      const [one, other] = [await stage.addTenant(), await stage.addTenant()];
      const order = { userId: "ada", login: "ada", role: "user", password: PASSWORD } as const;
      for (const tenant of [one, other]) await createUser(stage.parts, by, tenant, order);
      await stage.open({ tenant: other, user: "ada", login: "ada" });
      const before = await tenantRows(stage.db, other);
      const target = { tenant: one, user: "ada" };
      await revokeAll(stage.parts, by, target);
      await disableUser(stage.parts, by, target);
      await setPassword(stage.parts, by, target);
      await unlockUser(stage.parts, by, target);
      expect(await tenantRows(stage.db, other)).toEqual(before);
    });
  });

  test("lets nobody log in as a disabled user until they are enabled again", async () => {
    const user = await stage.addUser();
    const tokens = await stage.open(user);
    expect(await disableUser(stage.parts, by, user)).toMatchObject({ kind: "done" });
    const sinceMs = stage.clock.wallMs();
    await expect(stage.callerOf(tokens)).rejects.toThrow("refused");
    stage.clock.advance(1000);
    expect(await disableUser(stage.parts, by, user)).toMatchObject({ kind: "done" });
    expect((await stage.userRow(user)).disabledAt?.getTime()).toBe(sinceMs);
    expect(await login(stage.parts, stage.requestOf(user))).toMatchObject({
      code: "account_disabled",
    });
    expect(await enableUser(stage.parts, by, user)).toBe(true);
    await expect(stage.callerOf(tokens)).rejects.toThrow("refused");
    await stage.open(user);
    const trail = await stage.trailOf(user.tenant);
    expect(trail.filter((line) => line.startsWith("user_"))).toEqual([
      "user_disabled done because",
      "user_disabled done because",
      "user_enabled done because",
    ]);
  });

  test("ends a lockout", async () => {
    const user = await stage.addUser();
    await lock(user);
    expect(await unlockUser(stage.parts, by, user)).toBe(true);
    expect(await stage.failuresOf(user.tenant, user.login)).toBeUndefined();
    await stage.open(user);
    expect(await stage.trailOf(user.tenant)).toContain("account_unlocked done because");
  });

  describe("sets a password", () => {
    test.each([
      ["a one-time one", undefined, true],
      ["a given one", "quite another password", false],
    ])("%s, and ends everything", async (_what, password, oneTime) => {
      const user = await stage.addUser();
      const tokens = await stage.open(user);
      const outcome = await setPassword(stage.parts, by, { ...user, password });
      if (outcome?.kind !== "set") throw new Error("it was not set");
      expect(outcome.committed).toMatchObject([{ revocation: { kind: "user_revoked", epoch: 1 } }]);
      await expect(stage.callerOf(tokens)).rejects.toThrow("refused");
      expect(await login(stage.parts, stage.requestOf(user))).toMatchObject({
        code: "bad_credentials",
      });
      const now = password ?? outcome.oneTimePassword ?? "";
      expect(await login(stage.parts, stage.requestOf(user, { password: now }))).toMatchObject({
        kind: "opened",
        tokens: { passwordChangeOnly: oneTime },
      });
      const row = (await stage.auditOf(user.tenant)).find(({ kind }) => kind === "password_set");
      expect(row).toMatchObject({ actor, detail: { one_time_password: oneTime } });
      expect(JSON.stringify(row)).not.toContain(now);
    });

    test("only by the rules", async () => {
      const user = await stage.addUser();
      const before = await tenantRows(stage.db, user.tenant);
      expect(await setPassword(stage.parts, by, { ...user, password: user.login })).toEqual({
        kind: "password_unacceptable",
        problems: ["password_is_login"],
      });
      expect(await tenantRows(stage.db, user.tenant)).toEqual(before);
    });
  });

  test("does nothing to a user or a session that there is not", async () => {
    const [user, stranger] = [await stage.addUser(), await stage.addUser()];
    const { sessionId } = await stage.open(stranger);
    const before = [
      await tenantRows(stage.db, user.tenant),
      await tenantRows(stage.db, stranger.tenant),
    ];
    for (const nobody of [
      { tenant: user.tenant, user: "nobody" },
      { tenant: user.tenant, user: stranger.user },
      { tenant: "nowhere", user: user.user },
    ]) {
      for (const act of [revokeAll, disableUser, setPassword]) {
        expect(await act(stage.parts, by, nobody)).toBeUndefined();
      }
      expect(await enableUser(stage.parts, by, nobody)).toBe(false);
      expect(await unlockUser(stage.parts, by, nobody)).toBe(false);
      expect(await listUserSessions(stage.parts, nobody, { limit: 1 })).toBeUndefined();
    }
    const session = { ...user, session: sessionId };
    expect(await endUserSession(stage.parts, by, session)).toBeUndefined();
    const after = [
      await tenantRows(stage.db, user.tenant),
      await tenantRows(stage.db, stranger.tenant),
    ];
    expect(after).toEqual(before);
  });

  describe("among operators", () => {
    test("is made from the command line with a one-time password", async () => {
      const made = await createOperator(stage.parts, { login: "first", actor: "cli:root" });
      if (made.kind !== "created") throw new Error(made.kind);
      const first = { tenant: "sekisho", user: made.userId, login: "first" };
      const request = stage.requestOf(first, { password: made.oneTimePassword });
      expect(await login(stage.parts, request)).toMatchObject({ kind: "opened" });
      expect((await stage.auditOf("sekisho"))[0]).toMatchObject({
        kind: "operator_created",
        actor: "cli:root",
        userId: made.userId,
        address: null,
        detail: { role: "operator" },
      });
      const again = await createOperator(stage.parts, { login: "first", actor: "cli:root" });
      expect(again).toEqual({ kind: "exists", what: "login" });
    });

    test("leaves one who is not disabled, whoever disables whom at the same time", async () => {
      const enabled = async () =>
        (await allOf((page) => listUsers(stage.parts, "sekisho", page))).filter(
          ({ disabledAtMs }) => disabledAtMs === undefined,
        );
      for (let tries = 0; tries < 3; tries += 1)
        await stage.addUser({ tenant: "sekisho", role: "operator" });
      const all = await enabled();
      const outcomes = await Promise.all(
        all.map(({ user }) => disableUser(stage.parts, by, { tenant: "sekisho", user })),
      );
      const kinds = outcomes.map((outcome) => outcome?.kind);
      expect(kinds.filter((kind) => kind === "last_operator")).toHaveLength(1);
      const [last, ...others] = await enabled();
      expect(others).toEqual([]);
      const target = { tenant: "sekisho", user: last?.user ?? "" };
      expect(await disableUser(stage.parts, by, target)).toEqual({ kind: "last_operator" });
      // One who is disabled already may be disabled again: nothing is lost by it.
      const gone = all.find(({ user }) => user !== last?.user)?.user ?? "";
      const again = await disableUser(stage.parts, by, { tenant: "sekisho", user: gone });
      expect(again).toMatchObject({ kind: "done" });
    });
  });
});
