/** Logging in, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { disableUser, setPassword } from "../../src/sessions/admin/user-acts.js";
import { DatabaseError } from "../../src/sessions/database/database.js";
import { Argon2PasswordHasher } from "../../src/sessions/passwords/password-hasher-argon2.js";
import { PasswordHasherError } from "../../src/sessions/passwords/password-hasher.js";
import { login } from "../../src/sessions/login/login.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, PASSWORD, InProcessSessions } from "../support/in-process-sessions.js";

describe.each(DATABASES)("a login on $name", ({ start }) => {
  let started: StartedDatabase;
  let service: InProcessSessions;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  test("with the right password opens a session and mints for it", async () => {
    const user = await service.addUser({ role: "tenant_admin" });
    const tokens = await service.open(user);
    expect(tokens).toMatchObject({ expiresInS: 600, passwordChangeOnly: false });
    expect(tokens.sessionId).toMatch(/^[\w-]{24}$/);
    const nowMs = service.clock.wallMs();
    expect(service.mint.factsOf(tokens.accessToken)).toEqual({
      tenant: user.tenant,
      user: user.user,
      session: tokens.sessionId,
      epoch: 0,
      scopes: ["tenant_admin", "user"],
      issuedAtS: Math.floor(nowMs / 1000),
      forServiceOnly: false,
    });
    expect(await service.sessionsOf(user)).toMatchObject([
      {
        sessionId: tokens.sessionId,
        deviceName: "a telephone",
        address: ADDRESS,
        lastUsedAddress: ADDRESS,
        createdAt: new Date(nowMs),
        idleExpiresAt: new Date(nowMs + 14 * 86_400_000),
        expiresAt: new Date(nowMs + 90 * 86_400_000),
        endedAt: null,
      },
    ]);
    expect(await service.auditOf(user.tenant)).toMatchObject([
      {
        kind: "login",
        outcome: "done",
        userId: user.user,
        sessionId: tokens.sessionId,
        address: ADDRESS,
      },
    ]);
  });

  test.each([
    ["a wrong password", (name: string) => ({ login: name, password: `${PASSWORD}!` })],
    ["an unknown login", () => ({ login: "nobody" })],
  ])("with %s is refused and counted", async (_what, request) => {
    const user = await service.addUser();
    const asked = service.requestOf(user, request(user.login));
    const outcome = await login(service.parts, asked);
    expect(outcome).toEqual({ kind: "refused", code: "bad_credentials" });
    expect(await service.sessionsOf(user)).toEqual([]);
    expect(await service.failuresOf(user.tenant, asked.login)).toMatchObject({ failures: 1 });
    expect(await service.auditOf(user.tenant)).toMatchObject([
      {
        kind: "login",
        outcome: "refused",
        reason: "bad_credentials",
        actor: "anonymous",
        userId: asked.login === user.login ? user.user : null,
        address: ADDRESS,
        detail: { login: asked.login },
      },
    ]);
  });

  test("in a tenant that does not exist is refused alike, and stands in the service's own trail", async () => {
    const tried = { tenant: `none ${Math.random()}`, user: "", login: "somebody" };
    const outcome = await login(service.parts, service.requestOf(tried));
    expect(outcome).toEqual({ kind: "refused", code: "bad_credentials" });
    expect(await service.failuresOf(tried.tenant, "somebody")).toMatchObject({ failures: 1 });
    const own = await service.auditOf("sekisho");
    expect(own.at(-1)).toMatchObject({
      kind: "login",
      outcome: "refused",
      reason: "bad_credentials",
      detail: { login: "somebody", tenant: tried.tenant },
    });
    await service.addTenant(tried.tenant);
    expect(await service.auditOf(tried.tenant)).toEqual([]);
  });

  test("knows the same login in two tenants as two", async () => {
    const one = await service.addUser({ login: "ann" });
    const other = await service.addUser({ login: "ann" });
    await login(service.parts, service.requestOf(one, { password: "wrong" }));
    expect(await service.failuresOf(other.tenant, "ann")).toBeUndefined();
    const { sessionId } = await service.open(other);
    expect(await service.sessionsOf(one)).toEqual([]);
    expect(await service.sessionsOf(other)).toMatchObject([{ sessionId }]);
  });

  test("of a disabled account says so, but only to the right password", async () => {
    const user = await service.addUser();
    await disableUser(service.parts, service.administrator, user);
    const wrong = await login(service.parts, service.requestOf(user, { password: "wrong" }));
    expect(wrong).toEqual({ kind: "refused", code: "bad_credentials" });
    const right = await login(service.parts, service.requestOf(user));
    expect(right).toEqual({ kind: "refused", code: "account_disabled" });
    expect(await service.sessionsOf(user)).toEqual([]);
    expect((await service.trailOf(user.tenant)).slice(-2)).toEqual([
      "login refused bad_credentials",
      "login refused account_disabled",
    ]);
  });

  test("ends the row of failures", async () => {
    const user = await service.addUser();
    await login(service.parts, service.requestOf(user, { password: "wrong" }));
    await service.open(user);
    expect(await service.failuresOf(user.tenant, user.login)).toBeUndefined();
  });

  test("with a one-time password may only replace it, and happens once", async () => {
    const user = await service.addUser({ oneTime: true, role: "tenant_admin" });
    const tokens = await service.open(user);
    expect(tokens.passwordChangeOnly).toBe(true);
    const facts = service.mint.factsOf(tokens.accessToken);
    expect([facts.scopes, facts.forServiceOnly]).toEqual([["password_change"], true]);
    const again = await login(service.parts, service.requestOf(user));
    expect(again).toEqual({ kind: "refused", code: "bad_credentials" });
    expect(await service.sessionsOf(user)).toHaveLength(1);
  });

  test("with a one-time password that two use at once opens one session", async () => {
    const user = await service.addUser({ oneTime: true });
    const request = service.requestOf(user);
    const outcomes = await Promise.all([1, 2, 3].map(() => login(service.parts, request)));
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["opened", "refused", "refused"]);
    expect(await service.sessionsOf(user)).toHaveLength(1);
  });

  test("is not even tried beyond the limits", async () => {
    const user = await service.addUser();
    const asked = { asked: 0 };
    const answer = { admitted: false, limit: "spread", retryAfterS: 17 } as const;
    const limits = { admit: () => Promise.resolve(answer), succeeded: () => Promise.resolve() };
    const hasher = {
      ...refusingHasher("closed"),
      verify: () => {
        asked.asked += 1;
        return Promise.resolve(true);
      },
    };
    const told = service.observer.told.length;
    const outcome = await login({ ...service.parts, limits, hasher }, service.requestOf(user));
    expect(outcome).toEqual({ kind: "limited", limit: "spread", retryAfterS: 17 });
    expect(asked.asked).toBe(0);
    expect(service.observer.told.slice(told)).toEqual(["limit spread", "login limited spread"]);
    expect(await service.failuresOf(user.tenant, user.login)).toBeUndefined();
  });

  test("tells the limits of a right password, and of no other", async () => {
    const user = await service.addUser();
    const before = service.limits.succeededCount;
    await login(service.parts, service.requestOf(user, { password: "wrong" }));
    expect(service.limits.succeededCount).toBe(before);
    await service.open(user);
    expect(service.limits.succeededCount).toBe(before + 1);
  });

  test("verifies against nobody's hash where there is no account", async () => {
    const user = await service.addUser();
    const verified: (string | undefined)[] = [];
    const hasher = {
      ...refusingHasher("closed"),
      verify: (hash: string | undefined) => {
        verified.push(hash);
        return Promise.resolve(false);
      },
    };
    await login({ ...service.parts, hasher }, service.requestOf(user, { login: "nobody" }));
    await login({ ...service.parts, hasher }, service.requestOf({ ...user, tenant: "no tenant" }));
    await login({ ...service.parts, hasher }, service.requestOf(user));
    expect(verified).toEqual([undefined, undefined, expect.stringContaining("argon2id")]);
  });

  test("whose password is replaced while it is verified needs the new one", async () => {
    const user = await service.addUser();
    const hasher = {
      ...refusingHasher("closed"),
      needsRehash: () => false,
      verify: async (hash: string | undefined, password: string) => {
        const isRight = await service.hasher.verify(hash, password);
        if (isRight) await setPassword(service.parts, service.administrator, user);
        return isRight;
      },
    };
    const outcome = await login({ ...service.parts, hasher }, service.requestOf(user));
    expect(outcome).toEqual({ kind: "refused", code: "bad_credentials" });
    expect(await service.sessionsOf(user)).toEqual([]);
  });

  test("hashes the password anew where new hashes cost more", async () => {
    const user = await service.addUser();
    const dearer = new Argon2PasswordHasher({ cost: { memoryKiB: 16, passes: 1, lanes: 1 } });
    const request = service.requestOf(user);
    const outcomes = await Promise.all(
      [1, 2, 3].map(() => login({ ...service.parts, hasher: dearer }, request)),
    );
    expect(outcomes.map(({ kind }) => kind)).toEqual(["opened", "opened", "opened"]);
    await dearer.close();
    const never = { ...refusingHasher("closed"), needsRehash: () => dearer.needsRehash(hash) };
    let hash = "";
    const verify = (stored: string | undefined, password: string) => {
      hash = stored ?? "";
      return service.hasher.verify(stored, password);
    };
    const again = await login({ ...service.parts, hasher: { ...never, verify } }, request);
    expect(again.kind).toBe("opened");
    expect(hash).toContain("m=16,");
  });

  test("that fails for want of a key leaves no session, and says whose fault it was", async () => {
    const user = await service.addUser();
    const told = service.observer.told.length;
    service.mint.hasKey = false;
    await expect(login(service.parts, service.requestOf(user))).rejects.toMatchObject({
      code: "no_key",
    });
    service.mint.hasKey = true;
    const open = (await service.sessionsOf(user)).filter(({ endedAt }) => endedAt === null);
    expect(open).toEqual([]);
    expect(service.observer.told.slice(told)).toEqual(["login failed keys"]);
    expect((await service.trailOf(user.tenant)).at(-1)).toBe("login failed keys");
  });

  test("that fails because too many passwords wait counts nothing against the user", async () => {
    const user = await service.addUser();
    const hasher = refusingHasher("queue_full");
    await expect(
      login({ ...service.parts, hasher }, service.requestOf(user)),
    ).rejects.toBeInstanceOf(PasswordHasherError);
    expect(await service.failuresOf(user.tenant, user.login)).toBeUndefined();
    expect(await service.trailOf(user.tenant)).toEqual(["login failed hashing_queue"]);
    expect(service.observer.told.at(-1)).toBe("login failed hashing_queue");
  });

  test("that fails because the database is away says so", async () => {
    const user = await service.addUser();
    const away = new DatabaseError("unavailable", "away");
    const transaction = () => Promise.reject(away);
    const db = { ...service.parts.db, transaction };
    await expect(login({ ...service.parts, db }, service.requestOf(user))).rejects.toBe(away);
    expect(service.observer.told.at(-1)).toBe("login failed database");
  });
});

function refusingHasher(code: "queue_full" | "closed") {
  const refuse = () => Promise.reject(new PasswordHasherError(code, "not now"));
  return { verify: refuse, hash: refuse, needsRehash: () => true };
}
