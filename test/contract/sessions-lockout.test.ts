/** Logins are locked after repeated failures, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { unlockUser } from "../../src/sessions/admin/user-acts.js";
import { login } from "../../src/sessions/login/login.js";
import { changeOwnPassword } from "../../src/sessions/login/password-change.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

const BAD = { kind: "refused", code: "bad_credentials" };
const LOCKED = { kind: "refused", code: "account_locked", retryAfterS: 900 };

describe.each(DATABASES)("a lockout on $name", ({ start }) => {
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

  const fail = (who: TestUser) =>
    login(service.parts, service.requestOf(who, { password: "wrong" }));

  async function failOften(who: TestUser, times: number) {
    const outcomes = [];
    for (let time = 0; time < times; time += 1) outcomes.push(await fail(who));
    return outcomes;
  }

  /** A user, a login that nobody has, and a login of a tenant that is not there. */
  async function three(): Promise<readonly TestUser[]> {
    const known = await service.addUser();
    const nobody = { tenant: known.tenant, user: "", login: "nobody" };
    return [known, nobody, { tenant: `none ${Math.random()}`, user: "", login: "nobody" }];
  }

  test("comes after ten failures, and alike for those that do not exist", async () => {
    for (const who of await three()) {
      expect(await failOften(who, 10)).toEqual(Array(10).fill(BAD));
      expect(await failOften(who, 2)).toEqual([LOCKED, LOCKED]);
      service.clock.advance(60_500);
      expect(await fail(who)).toEqual({ ...LOCKED, retryAfterS: 840 });
    }
  });

  test("stands in the audit trail once, beside each refusal", async () => {
    const user = await service.addUser();
    const told = service.observer.told.length;
    await failOften(user, 11);
    expect(await service.trailOf(user.tenant)).toEqual([
      ...Array<string>(10).fill("login refused bad_credentials"),
      "account_locked done",
      "login refused account_locked",
    ]);
    const tellings = service.observer.told.slice(told);
    expect(tellings.filter((telling) => telling === "lockout")).toHaveLength(1);
  });

  test("refuses the right password too, and hashes nothing for it", async () => {
    const user = await service.addUser();
    await failOften(user, 10);
    const verify = () => Promise.reject(new Error("nothing is to be hashed"));
    const hasher = { needsRehash: () => false, hash: verify, verify };
    const outcome = await login({ ...service.parts, hasher }, service.requestOf(user));
    expect(outcome).toEqual(LOCKED);
    expect(await service.sessionsOf(user)).toEqual([]);
  });

  test("that comes while the right password is verified refuses it", async () => {
    const user = await service.addUser();
    await failOften(user, 9);
    const hasher = {
      needsRehash: () => false,
      hash: () => Promise.reject(new Error("not asked for")),
      verify: async () => {
        await fail(user);
        return true;
      },
    };
    const outcome = await login({ ...service.parts, hasher }, service.requestOf(user));
    expect(outcome).toEqual(LOCKED);
    expect(await service.sessionsOf(user)).toEqual([]);
  });

  test("is over after a quarter of an hour, to the millisecond", async () => {
    const user = await service.addUser();
    await failOften(user, 10);
    service.clock.advance(15 * 60_000 - 1);
    const request = service.requestOf(user);
    expect(await login(service.parts, request)).toEqual({ ...LOCKED, retryAfterS: 1 });
    service.clock.advance(1);
    expect(await fail(user)).toEqual(BAD);
    expect(await service.failuresOf(user.tenant, user.login)).toMatchObject({ failures: 1 });
    expect((await login(service.parts, request)).kind).toBe("opened");
  });

  test("is ended by an administrator", async () => {
    const user = await service.addUser();
    await failOften(user, 10);
    await unlockUser(service.parts, service.administrator, user);
    expect((await login(service.parts, service.requestOf(user))).kind).toBe("opened");
  });

  test("does not come from failures that lie far apart", async () => {
    const user = await service.addUser();
    await failOften(user, 9);
    service.clock.advance(15 * 60_000 + 1);
    expect(await failOften(user, 9)).toEqual(Array(9).fill(BAD));
    expect(await service.failuresOf(user.tenant, user.login)).toMatchObject({ failures: 9 });
  });

  test("loses no failure of many that come at the same moment", async () => {
    for (const who of await three()) {
      const parts = { ...service.parts, options: { ...service.parts.options, lockout: MANY } };
      const wrong = service.requestOf(who, { password: "wrong" });
      const outcomes = await Promise.all(Array.from({ length: 30 }, () => login(parts, wrong)));
      expect(outcomes).toEqual(Array(30).fill(BAD));
      expect(await service.failuresOf(who.tenant, who.login)).toMatchObject({ failures: 30 });
    }
  });

  test("comes once from many failures at the same moment", async () => {
    const user = await service.addUser();
    const outcomes = await Promise.all(Array.from({ length: 25 }, () => fail(user)));
    expect(outcomes.filter((outcome) => "retryAfterS" in outcome)).toHaveLength(15);
    expect(await service.failuresOf(user.tenant, user.login)).toMatchObject({ failures: 10 });
    const trail = await service.trailOf(user.tenant);
    expect(trail.filter((row) => row === "account_locked done")).toHaveLength(1);
    expect(trail.filter((row) => row === "login refused bad_credentials")).toHaveLength(10);
  });

  test("comes from guessing at the present password with a stolen token as well", async () => {
    const user = await service.addUser();
    const caller = await service.callerOf(await service.open(user));
    const guess = (currentPassword: string) =>
      changeOwnPassword(service.parts, caller, {
        currentPassword,
        newPassword: "another long password",
        address: ADDRESS,
      });
    for (let time = 0; time < 10; time += 1) expect(await guess("wrong")).toEqual(BAD);
    expect(await guess("a long enough password")).toEqual(LOCKED);
    expect(await login(service.parts, service.requestOf(user))).toEqual(LOCKED);
    expect((await service.trailOf(user.tenant)).slice(-4)).toEqual([
      "password_changed refused bad_credentials",
      "account_locked done",
      "password_changed refused account_locked",
      "login refused account_locked",
    ]);
  });
});

const MANY = { failuresMax: 1000, windowMs: 60_000, lockMs: 60_000 };
