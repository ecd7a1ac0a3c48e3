/** Ending what has ended already: nothing is written again, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eq, sql } from "drizzle-orm";

import { disableUser, endUserSession, revokeAll } from "../../src/sessions/admin/user-acts.js";
import { revocations, sessions } from "../../src/sessions/database/schema-sql.js";
import { login } from "../../src/sessions/login/login.js";
import {
  endOwnOtherSessions,
  endOwnSession,
  logout,
} from "../../src/sessions/login/own-sessions.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { asOwner } from "../support/row-security.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

describe.each(DATABASES)("on $name", ({ start }) => {
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

  /** A user with a session that is to be ended, and one that calls. */
  async function twoSessions() {
    const user = await service.addUser();
    const { sessionId: session } = await service.open(user);
    const caller = await service.callerOf(await service.open(user));
    return { user, session, caller };
  }

  async function eventsOf(ended: ReturnType<typeof endOwnSession>): Promise<readonly string[]> {
    const done = await ended;
    if (done === undefined || done.kind === "caller_ended") throw new Error("nothing was ended");
    return done.committed.map(({ eventId }) => eventId);
  }

  async function rowsOf({ tenant }: TestUser) {
    const [revoked, audited] = [await service.revocationsOf(tenant), await service.auditOf(tenant)];
    return { revocations: revoked.length, audit: audited.length };
  }

  test("a session that its user ends again and again is revoked once", async () => {
    const { user, session, caller } = await twoSessions();
    const end = () => eventsOf(endOwnSession(service.parts, caller, session, ADDRESS));
    const first = await end();
    expect(first).toHaveLength(1);
    const rows = await rowsOf(user);
    for (let time = 0; time < 5; time += 1) expect(await end()).toEqual(first);
    expect(await rowsOf(user)).toEqual(rows);
    expect(rows.revocations).toBe(1);
  });

  test("a session that is ended twice at once is revoked once", async () => {
    const { user, session, caller } = await twoSessions();
    const ends = await Promise.all(
      [1, 2, 3, 4].map(() => eventsOf(endOwnSession(service.parts, caller, session, ADDRESS))),
    );
    expect(new Set(ends.flat()).size).toBe(1);
    expect(await service.revocationsOf(user.tenant)).toHaveLength(1);
  });

  test("an administrator is answered with the event that ended the session, whichever it was", async () => {
    const { user, session, caller } = await twoSessions();
    const byUser = await eventsOf(endOwnSession(service.parts, caller, session, ADDRESS));
    const other = (await service.open(user)).sessionId;
    const [byOthers] = await eventsOf(endOwnOtherSessions(service.parts, caller, ADDRESS));
    const [byLogout] = await eventsOf(logout(service.parts, caller, ADDRESS));
    const last = (await service.open(user)).sessionId;
    const all = await revokeAll(service.parts, service.administrator, user);
    const byAll = all?.kind === "done" ? all.committed[0]?.eventId : undefined;
    const rows = await rowsOf(user);
    const ended: [string, string | undefined][] = [
      [session, byUser[0]],
      [other, byOthers],
      [caller.session, byLogout],
      [last, byAll],
    ];
    for (const [one, event] of ended) {
      const again = await endUserSession(service.parts, service.administrator, {
        ...user,
        session: one,
      });
      expect(again).toMatchObject({ kind: "done", committed: [{ eventId: event }] });
    }
    expect(await rowsOf(user)).toEqual(rows);
  });

  test("a session that gave way to a newer one is not revoked again", async () => {
    const { user, session } = await twoSessions();
    const { tenant } = user;
    await service.asTenant(tenant, (queries) =>
      queries.execute(sql`INSERT INTO sekisho.sessions
        SELECT tenant_id, 'copy ' || number, user_id, device_name, address,
          created_at + interval '1 second', last_used_at, last_used_address, refresh_generation,
          idle_expires_at, expires_at, password_change_only, ended_at, ended_by
        FROM sekisho.sessions, generate_series(1, 198) number
        WHERE tenant_id = ${tenant} AND session_id = ${session}`),
    );
    expect((await login(service.parts, service.requestOf(user))).kind).toBe("opened");
    const ended = (await service.sessionsOf(user)).filter(({ endedAt }) => endedAt !== null);
    const [first] = await service.revocationsOf(tenant);
    const [gone] = ended;
    const rows = await rowsOf(user);
    const target = { ...user, session: gone?.sessionId ?? "" };
    const again = await endUserSession(service.parts, service.administrator, target);
    expect(again).toMatchObject({ committed: [{ eventId: first?.eventId }] });
    expect(await rowsOf(user)).toEqual(rows);
  });

  test("a session whose revocation is forgotten has nothing left to revoke", async () => {
    const { user, session, caller } = await twoSessions();
    const end = () => eventsOf(endOwnSession(service.parts, caller, session, ADDRESS));
    await end();
    await asOwner(started.database, (queries) =>
      queries
        .execute(sql`SELECT set_config('role', 'sekisho_purge', true)`)
        .then(() => queries.delete(revocations).where(eq(revocations.tenantId, user.tenant))),
    );
    const { audit } = await rowsOf(user);
    expect(await end()).toEqual([]);
    expect(await rowsOf(user)).toEqual({ revocations: 0, audit });
  });

  test("a session that ended without an event of its own is revoked once", async () => {
    const { user, session, caller } = await twoSessions();
    await service.asTenant(user.tenant, (queries) =>
      queries
        .update(sessions)
        .set({ endedAt: new Date(service.clock.wallMs()), endedBy: "restored_from_backup" })
        .where(eq(sessions.sessionId, session)),
    );
    const end = () => eventsOf(endOwnSession(service.parts, caller, session, ADDRESS));
    const first = await end();
    expect(first).toHaveLength(1);
    expect(await end()).toEqual(first);
    expect(await service.revocationsOf(user.tenant)).toHaveLength(1);
    const ended = (await service.sessionsOf(user)).find(({ sessionId }) => sessionId === session);
    expect(ended?.endedBy).toBe("restored_from_backup");
  });

  test("ending all other sessions where there are none leaves no row", async () => {
    const { user, caller } = await twoSessions();
    await endOwnOtherSessions(service.parts, caller, ADDRESS);
    const rows = await rowsOf(user);
    expect(await eventsOf(endOwnOtherSessions(service.parts, caller, ADDRESS))).toEqual([]);
    expect(await rowsOf(user)).toEqual(rows);
  });

  test("acts on a whole user are acts each time: a stolen key may have signed the new epoch", async () => {
    const { user } = await twoSessions();
    for (const epoch of [1, 2]) {
      await revokeAll(service.parts, service.administrator, user);
      expect((await service.userRow(user)).userEpoch).toBe(epoch);
    }
    for (const epoch of [3, 4]) {
      await disableUser(service.parts, service.administrator, user);
      expect((await service.userRow(user)).userEpoch).toBe(epoch);
    }
  });
});
