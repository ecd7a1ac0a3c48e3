/** What users do with their own sessions and password, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";

import { revokeAll } from "../../src/sessions/admin/user-acts.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import { login } from "../../src/sessions/login/login.js";
import {
  endOwnOtherSessions,
  endOwnSession,
  listOwnSessions,
  logout,
} from "../../src/sessions/login/own-sessions.js";
import { changeOwnPassword } from "../../src/sessions/login/password-change.js";
import { OPEN_SESSIONS_MAX } from "../../src/sessions/login/session-limits.js";
import { insertSession } from "../../src/sessions/login/session-sql.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, PASSWORD, InProcessSessions } from "../support/in-process-sessions.js";

const NEW_PASSWORD = "another long password";
const CHANGE = { currentPassword: PASSWORD, newPassword: NEW_PASSWORD, address: ADDRESS };

describe.each(DATABASES)("a user on $name", ({ start }) => {
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

  /** A user with three sessions, the last of which calls. */
  async function threeSessions() {
    const user = await service.addUser();
    const first = await service.open(user);
    service.clock.advance(1000);
    const second = await service.open(user);
    service.clock.advance(1000);
    const own = await service.open(user);
    return { user, first, second, own, caller: await service.callerOf(own) };
  }

  function committedOf(ended: Awaited<ReturnType<typeof endOwnSession>>) {
    if (ended?.kind !== "ended") throw new Error("nothing was ended");
    return ended.committed;
  }

  const listed = async (caller: Parameters<typeof listOwnSessions>[1]) =>
    (await listOwnSessions(service.parts, caller)).map(({ sessionId }) => sessionId);

  test("is known by a good token, and by nothing else", async () => {
    const user = await service.addUser({ role: "tenant_admin" });
    const tokens = await service.open(user);
    expect(await callerOf(service.parts, tokens.accessToken)).toEqual({
      tenant: user.tenant,
      user: user.user,
      session: tokens.sessionId,
      scopes: new Set(["tenant_admin", "user"]),
    });
    expect(await callerOf(service.parts, "nonsense")).toBeUndefined();
    await revokeAll(service.parts, service.administrator, user);
    expect(await callerOf(service.parts, tokens.accessToken)).toBeUndefined();
  });

  test("sees their open sessions, the newest first", async () => {
    const { first, second, own, caller } = await threeSessions();
    await endOwnSession(service.parts, caller, second.sessionId, ADDRESS);
    const nowMs = service.clock.wallMs();
    const view = { deviceName: "a telephone", address: ADDRESS, lastUsedAddress: ADDRESS };
    const at = (ms: number) => ({ createdAtMs: ms, lastUsedAtMs: ms });
    expect(await listOwnSessions(service.parts, caller)).toEqual([
      { sessionId: own.sessionId, ...view, ...at(nowMs), current: true },
      { sessionId: first.sessionId, ...view, ...at(nowMs - 2000), current: false },
    ]);
    await service.addUser({ tenant: caller.tenant });
    service.clock.advance(14 * 86_400_000 - 1);
    expect(await listed(caller)).toEqual([own.sessionId]);
    service.clock.advance(1);
    expect(await listed(caller)).toEqual([]);
  });

  test("sees no more sessions than anybody has devices", async () => {
    const { user, caller } = await threeSessions();
    const { tenant } = user;
    await service.asTenant(tenant, async (queries) => {
      for (let number = 0; number < OPEN_SESSIONS_MAX; number += 1) {
        const opened = { ...user, session: `session ${number}`, deviceName: "", address: ADDRESS };
        const first = {
          tokenHash: Buffer.alloc(32, `${number}-`),
          nowMs: service.clock.wallMs() + number,
          limits: service.parts.options,
        };
        await insertSession(queries, { ...opened, passwordChangeOnly: false }, first);
      }
    });
    expect(await listed(caller)).toHaveLength(OPEN_SESSIONS_MAX);
  });

  test("ends one of their sessions", async () => {
    const { user, first, second, own, caller } = await threeSessions();
    const ended = await endOwnSession(service.parts, caller, first.sessionId, ADDRESS);
    const [committed] = committedOf(ended);
    expect(committed?.revocation).toMatchObject({ session: first.sessionId, user: user.user });
    expect(await service.revocationsOf(user.tenant)).toMatchObject([
      { eventId: committed?.eventId, sessionId: first.sessionId, publishedAt: null },
    ]);
    expect(await listed(caller)).toEqual([own.sessionId, second.sessionId]);
    expect((await service.auditOf(user.tenant)).at(-1)).toMatchObject({
      kind: "session_revoked",
      sessionId: first.sessionId,
      userId: user.user,
      eventId: committed?.eventId,
      actor: expect.stringContaining("user:"),
    });
  });

  test("cannot end what is not theirs", async () => {
    const { user, caller } = await threeSessions();
    const colleague = await service.open(await service.addUser({ tenant: user.tenant }));
    const stranger = await service.open(await service.addUser());
    for (const { sessionId } of [colleague, stranger, { sessionId: "none" }]) {
      expect(await endOwnSession(service.parts, caller, sessionId, ADDRESS)).toBeUndefined();
    }
    await service.callerOf(colleague);
    await service.callerOf(stranger);
    expect(await service.revocationsOf(user.tenant)).toEqual([]);
  });

  test("ends all sessions but the one that calls", async () => {
    const { user, first, second, own, caller } = await threeSessions();
    const colleague = await service.open(await service.addUser({ tenant: user.tenant }));
    const ended = await endOwnOtherSessions(service.parts, caller, ADDRESS);
    const sessions = committedOf(ended).map(({ revocation }) =>
      revocation.kind === "session_revoked" ? revocation.session : "",
    );
    expect(sessions.sort()).toEqual([first.sessionId, second.sessionId].sort());
    expect(await listed(caller)).toEqual([own.sessionId]);
    await service.callerOf(colleague);
    await service.rotate(own.refreshToken);
    expect((await service.auditOf(user.tenant)).at(-1)).toMatchObject({
      kind: "other_sessions_revoked",
      detail: { sessions: 2 },
    });
    const none = await endOwnOtherSessions(service.parts, caller, ADDRESS);
    expect(committedOf(none)).toEqual([]);
  });

  test("ends more sessions than one statement could revoke", async () => {
    const { user, own, caller } = await threeSessions();
    const { tenant } = user;
    const count = 6000;
    await service.asTenant(tenant, async (queries) => {
      await queries.execute(manySessions(tenant, user.user, own.sessionId, count));
    });
    const ended = await endOwnOtherSessions(service.parts, caller, ADDRESS);
    expect(committedOf(ended)).toHaveLength(count + 2);
    expect(await service.revocationsOf(tenant)).toHaveLength(count + 2);
  });

  test("logs out", async () => {
    const { user, first, own, caller } = await threeSessions();
    const ended = await logout(service.parts, caller, ADDRESS);
    expect(committedOf(ended).map(({ revocation }) => revocation)).toMatchObject([
      { kind: "session_revoked", session: own.sessionId },
    ]);
    expect(await callerOf(service.parts, own.accessToken)).toBeUndefined();
    await service.callerOf(first);
    expect((await service.trailOf(user.tenant)).at(-1)).toBe("logout done");
  });

  test("changes the password, which ends all other sessions", async () => {
    const { user, first, own, caller } = await threeSessions();
    const outcome = await changeOwnPassword(service.parts, caller, CHANGE);
    if (outcome.kind !== "changed") throw new Error(outcome.kind);
    expect(outcome.committed).toHaveLength(2);
    expect(await listed(caller)).toEqual([own.sessionId]);
    expect(await callerOf(service.parts, first.accessToken)).toBeUndefined();
    const byOld = await login(service.parts, service.requestOf(user));
    expect(byOld).toEqual({ kind: "refused", code: "bad_credentials" });
    const byNew = await login(service.parts, service.requestOf(user, { password: NEW_PASSWORD }));
    expect(byNew.kind).toBe("opened");
    const trail = await service.trailOf(user.tenant);
    expect(trail).toContain("password_changed done");
  });

  test("replaces a one-time password and may do everything after the next refresh", async () => {
    const user = await service.addUser({ oneTime: true, role: "tenant_admin" });
    const tokens = await service.open(user);
    const caller = await service.callerOf(tokens);
    expect(caller.scopes).toEqual(new Set(["password_change"]));
    const before = await service.rotate(tokens.refreshToken);
    expect(before.passwordChangeOnly).toBe(true);
    expect((await changeOwnPassword(service.parts, caller, CHANGE)).kind).toBe("changed");
    expect(await service.callerOf(before)).toMatchObject({ scopes: new Set(["password_change"]) });
    const after = await service.rotate(before.refreshToken);
    expect(after.passwordChangeOnly).toBe(false);
    expect((await service.callerOf(after)).scopes).toEqual(new Set(["tenant_admin", "user"]));
    const again = service.requestOf(user, { password: NEW_PASSWORD });
    expect(await login(service.parts, again)).toMatchObject({
      tokens: { passwordChangeOnly: false },
    });
    expect((await login(service.parts, again)).kind).toBe("opened");
  });

  test.each([
    ["the present one", PASSWORD, "password_unchanged"],
    ["too short a one", "short", "password_too_short"],
  ])("cannot choose %s", async (_what, newPassword, problem) => {
    const { user, caller } = await threeSessions();
    const outcome = await changeOwnPassword(service.parts, caller, { ...CHANGE, newPassword });
    const refused = { kind: "refused", code: "password_unacceptable", problems: [problem] };
    expect(outcome).toEqual(refused);
    expect((await login(service.parts, service.requestOf(user))).kind).toBe("opened");
  });

  test("cannot choose their own login's name", async () => {
    const caller = await service.callerOf(await service.open(await service.addUser()));
    const change = { ...CHANGE, newPassword: caller.user };
    const outcome = await changeOwnPassword(service.parts, caller, change);
    expect(outcome).toMatchObject({ problems: ["password_is_user_id"] });
  });

  test("changes it only as often as a login may be tried, for it hashes like one", async () => {
    const { user, caller } = await threeSessions();
    const limits = {
      admit: () => Promise.resolve({ admitted: false, limit: "address", retryAfterS: 7 } as const),
      succeeded: () => Promise.resolve(),
    };
    const hashesNothing = () => Promise.reject(new Error("it was hashed"));
    const hasher = { verify: hashesNothing, hash: hashesNothing };
    const outcome = await changeOwnPassword({ ...service.parts, limits, hasher }, caller, CHANGE);
    expect(outcome).toEqual({ kind: "limited", retryAfterS: 7 });
    expect(service.observer.told.at(-1)).toBe("limit address");
    expect((await login(service.parts, service.requestOf(user))).kind).toBe("opened");
  });

  test("needs the present password to change it", async () => {
    const { user, first, caller } = await threeSessions();
    const change = { ...CHANGE, currentPassword: "wrong" };
    const outcome = await changeOwnPassword(service.parts, caller, change);
    expect(outcome).toEqual({ kind: "refused", code: "bad_credentials" });
    await service.callerOf(first);
    expect(await service.failuresOf(user.tenant, user.login)).toMatchObject({ failures: 1 });
  });

  test("whose session is ended while the password is hashed has changed nothing", async () => {
    const { user, caller } = await threeSessions();
    const hasher = {
      verify: (hash: string | undefined, password: string) => service.hasher.verify(hash, password),
      hash: async (password: string) => {
        await revokeAll(service.parts, service.administrator, user);
        return service.hasher.hash(password);
      },
    };
    const outcome = await changeOwnPassword({ ...service.parts, hasher }, caller, CHANGE);
    expect(outcome).toEqual({ kind: "refused", code: "session_ended" });
    expect((await login(service.parts, service.requestOf(user))).kind).toBe("opened");
  });

  test("who changes the password twice at once has changed it once", async () => {
    const { user, caller } = await threeSessions();
    const other = { ...CHANGE, newPassword: "yet another password" };
    const outcomes = await Promise.all([
      changeOwnPassword(service.parts, caller, CHANGE),
      changeOwnPassword(service.parts, caller, other),
    ]);
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["changed", "refused"]);
    expect(await service.trailOf(user.tenant)).toContain(
      "password_changed refused bad_credentials",
    );
  });
});

/** Copies of one session, quicker than opening them one after the other. */
function manySessions(tenant: string, user: string, like: string, count: number) {
  return sql`INSERT INTO sekisho.sessions
    SELECT tenant_id, 'copy ' || number, user_id, device_name, address, created_at, last_used_at,
      last_used_address, refresh_generation, idle_expires_at, expires_at,
      password_change_only, ended_at, ended_by
    FROM sekisho.sessions, generate_series(1, ${count}::integer) number
    WHERE tenant_id = ${tenant} AND user_id = ${user} AND session_id = ${like}`;
}
