/** A user's open sessions are bounded, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { revokeAll } from "../../src/sessions/admin/user-acts.js";
import { sessions } from "../../src/sessions/database/schema-sql.js";
import { listOwnSessions } from "../../src/sessions/login/own-sessions.js";
import { OPEN_SESSIONS_MAX } from "../../src/sessions/login/session-limits.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

const DAY_MS = 86_400_000;
const LOGINS_AT_ONCE = 12;

describe.each(DATABASES)("on $name a user's open sessions", ({ start }) => {
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

  /** Past the login: sessions made a second apart, the first of them `sinceMs` from now. */
  async function insertSessions(
    { tenant, user }: TestUser,
    count: number,
    { sinceMs = 0, idleMs = DAY_MS, name = "past" } = {},
  ): Promise<void> {
    const nowMs = service.clock.wallMs();
    const rows = Array.from({ length: count }, (_, index) => {
      const createdAt = new Date(nowMs + sinceMs + index * 1000);
      return {
        tenantId: tenant,
        userId: user,
        sessionId: `${name} ${user} ${index}`,
        deviceName: "a device",
        address: ADDRESS,
        lastUsedAddress: ADDRESS,
        createdAt,
        lastUsedAt: createdAt,
        refreshGeneration: 0,
        idleExpiresAt: new Date(nowMs + idleMs),
        expiresAt: new Date(nowMs + 90 * DAY_MS),
        passwordChangeOnly: false,
      };
    });
    await service.asTenant(tenant, async (queries) => {
      await queries.insert(sessions).values(rows);
    });
  }

  const openOf = async (user: TestUser): Promise<readonly string[]> =>
    (await service.sessionsOf(user))
      .filter(({ endedAt }) => endedAt === null)
      .map(({ sessionId }) => sessionId);

  const endedOf = async (user: TestUser) =>
    (await service.sessionsOf(user)).filter(({ endedAt }) => endedAt !== null);

  test("make room for one more: a login ends exactly the oldest, and revokes it", async () => {
    const user = await service.addUser();
    const neighbour = await service.addUser({ tenant: user.tenant });
    await insertSessions(neighbour, OPEN_SESSIONS_MAX);
    const oldest = await service.open(user);
    service.clock.advance(1000);
    await insertSessions(user, OPEN_SESSIONS_MAX - 1);
    service.clock.advance(OPEN_SESSIONS_MAX * 1000);
    expect(await endedOf(user)).toEqual([]);
    expect(await service.revocationsOf(user.tenant)).toEqual([]);

    const newest = await service.open(user);
    const at = new Date(service.clock.wallMs());
    expect(await endedOf(user)).toMatchObject([
      { sessionId: oldest.sessionId, endedAt: at, endedBy: "too_many_sessions" },
    ]);
    const shown = await listOwnSessions(service.parts, await service.callerOf(newest));
    expect(shown).toHaveLength(OPEN_SESSIONS_MAX);
    expect(shown[0]).toMatchObject({ sessionId: newest.sessionId, current: true });
    const committed = await service.revocationsOf(user.tenant);
    expect(committed).toMatchObject([
      {
        kind: "session_revoked",
        userId: user.user,
        sessionId: oldest.sessionId,
        at,
        reason: "too_many_sessions",
        actor: "sekisho",
        origin: "service",
        publishedAt: null,
      },
    ]);
    expect((await service.auditOf(user.tenant)).slice(1)).toMatchObject([
      {
        kind: "session_revoked",
        outcome: "done",
        reason: "too_many_sessions",
        actor: "sekisho",
        userId: user.user,
        sessionId: oldest.sessionId,
        address: ADDRESS,
        eventId: committed[0]?.eventId,
      },
      { kind: "login", outcome: "done", sessionId: newest.sessionId },
    ]);
    expect(await openOf(neighbour)).toHaveLength(OPEN_SESSIONS_MAX);
    // Last, for its row in the trail comes when it comes.
    expect(await service.refresh(oldest.refreshToken)).toEqual({
      kind: "refused",
      code: "session_ended",
    });
  });

  test("never become too many through logins at the same time", async () => {
    const user = await service.addUser();
    await insertSessions(user, OPEN_SESSIONS_MAX, { sinceMs: -1000 * OPEN_SESSIONS_MAX });
    const opened = await Promise.all(
      Array.from({ length: LOGINS_AT_ONCE }, () => service.open(user)),
    );
    const open = await openOf(user);
    expect(open).toHaveLength(OPEN_SESSIONS_MAX);
    expect(open).toEqual(expect.arrayContaining(opened.map(({ sessionId }) => sessionId)));
    const oldest = Array.from(
      { length: LOGINS_AT_ONCE },
      (_, index) => `past ${user.user} ${index}`,
    );
    const ended = (await endedOf(user)).map(({ sessionId }) => sessionId);
    expect(ended.sort()).toEqual(oldest.sort());
    const revoked = await service.revocationsOf(user.tenant);
    expect(revoked.map(({ sessionId }) => sessionId).sort()).toEqual(ended);
  });

  test("are those that have neither ended nor expired", async () => {
    const user = await service.addUser();
    await insertSessions(user, OPEN_SESSIONS_MAX, { name: "ended" });
    await revokeAll(service.parts, service.administrator, user);
    await insertSessions(user, 20, { idleMs: 0, name: "expired" });
    await insertSessions(user, OPEN_SESSIONS_MAX - 1);
    const before = await openOf(user);
    const { sessionId } = await service.open(user);
    expect([...(await openOf(user))].sort()).toEqual([...before, sessionId].sort());
  });

  test("keep the new one, even where a clock has gone back and all others look younger", async () => {
    const user = await service.addUser();
    await insertSessions(user, OPEN_SESSIONS_MAX, { sinceMs: 3_600_000 });
    const { sessionId } = await service.open(user);
    expect(await openOf(user)).toContain(sessionId);
    expect(await endedOf(user)).toMatchObject([{ sessionId: `past ${user.user} 0` }]);
  });

  test("are brought down again if they were ever more", async () => {
    const user = await service.addUser();
    await insertSessions(user, OPEN_SESSIONS_MAX + 50);
    await service.open(user);
    expect(await openOf(user)).toHaveLength(OPEN_SESSIONS_MAX);
    expect(await service.revocationsOf(user.tenant)).toHaveLength(51);
  });
});
