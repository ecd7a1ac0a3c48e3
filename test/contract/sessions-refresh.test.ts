/** Refreshing, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { disableUser, revokeAll } from "../../src/sessions/admin/user-acts.js";
import { refreshTokens } from "../../src/sessions/database/schema-sql.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import { logout } from "../../src/sessions/login/own-sessions.js";
import { refresh } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions } from "../support/in-process-sessions.js";

const refused = (code: string) => ({ kind: "refused", code });
const DAY_MS = 86_400_000;

describe.each(DATABASES)("a refresh on $name", ({ start }) => {
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

  test("gives a new token of each kind for the same session", async () => {
    const user = await service.addUser();
    const first = await service.open(user);
    service.clock.advance(60_000);
    const request = { refreshToken: first.refreshToken, address: "2001:db8::1" };
    const outcome = await refresh(service.parts, request);
    if (outcome.kind !== "rotated") throw new Error(outcome.kind);
    const { tokens } = outcome;
    expect(tokens.sessionId).toBe(first.sessionId);
    expect(tokens.refreshToken).not.toBe(first.refreshToken);
    const nowMs = service.clock.wallMs();
    expect(service.mint.factsOf(tokens.accessToken)).toEqual({
      ...service.mint.factsOf(first.accessToken),
      issuedAtS: Math.floor(nowMs / 1000),
    });
    expect(await service.sessionsOf(user)).toMatchObject([
      {
        address: ADDRESS,
        lastUsedAddress: "2001:db8::1",
        lastUsedAt: new Date(nowMs),
        idleExpiresAt: new Date(nowMs + 14 * DAY_MS),
        refreshGeneration: 1,
      },
    ]);
    expect(service.observer.told.at(-1)).toBe("refresh rotated rotated");
  });

  test("stores no token, only what it hashes to", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    const rows = await service.asTenant(user.tenant, (queries) =>
      queries.select().from(refreshTokens),
    );
    expect(rows).toHaveLength(1);
    const secret = refreshToken.split(".")[2] ?? "";
    expect(Buffer.from(rows[0]?.tokenHash ?? []).toString("base64url")).not.toBe(secret);
    expect(JSON.stringify(rows)).not.toContain(secret);
  });

  test("reads the user's present epoch", async () => {
    const user = await service.addUser();
    const before = await service.open(user);
    await revokeAll(service.parts, service.administrator, user);
    expect(await service.refresh(before.refreshToken)).toEqual(refused("session_ended"));
    const after = await service.rotate((await service.open(user)).refreshToken);
    expect(service.mint.factsOf(after.accessToken).epoch).toBe(1);
    expect(await callerOf(service.parts, before.accessToken)).toBeUndefined();
    expect(await callerOf(service.parts, after.accessToken)).toBeDefined();
  });

  test("with a used token gives a sibling within the tolerance, and is reuse in the end", async () => {
    const user = await service.addUser();
    const { refreshToken: first, sessionId } = await service.open(user);
    const { refreshToken: second } = await service.rotate(first);
    service.clock.advance(3000);
    await service.rotate(first);
    expect(service.observer.told.at(-1)).toBe("refresh rotated sibling");
    service.clock.advance(2000);
    await service.rotate(first);
    expect(service.observer.told.at(-1)).toBe("refresh rotated sibling");
    service.clock.advance(115_001);
    const published = service.outbox.published.length;
    expect(await service.refresh(first)).toEqual(refused("refresh_token_reused"));
    expect(service.observer.told.slice(-2)).toEqual([
      "reuse",
      "refresh refused refresh_token_reused",
    ]);
    expect(await service.refresh(second)).toEqual(refused("session_ended"));
    const { tenant } = user;
    const rows = await service.revocationsOf(tenant);
    expect(rows).toMatchObject([
      { kind: "session_revoked", sessionId, userId: user.user, reason: "refresh_token_reused" },
    ]);
    expect(service.outbox.published.slice(published)).toMatchObject([
      { eventId: rows[0]?.eventId, revocation: { tenant, session: sessionId } },
    ]);
    const trail = await service.auditOf(tenant);
    expect(trail.find(({ kind }) => kind === "refresh_token_reused")).toMatchObject({
      kind: "refresh_token_reused",
      outcome: "done",
      sessionId,
      eventId: rows[0]?.eventId,
    });
  });

  test("with an older token is reuse at once", async () => {
    const user = await service.addUser();
    const { refreshToken: first } = await service.open(user);
    const { refreshToken: second } = await service.rotate(first);
    await service.rotate(second);
    expect(await service.refresh(first)).toEqual(refused("refresh_token_reused"));
    expect(await service.sessionsOf(user)).toMatchObject([{ endedBy: "refresh_token_reused" }]);
  });

  test("with a used token is reuse at once where neither siblings nor retries are given", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    await service.rotate(refreshToken);
    const options = { ...service.parts.options, refreshToleranceMs: 0, refreshRetryMs: 0 };
    const outcome = await refresh(
      { ...service.parts, options },
      { refreshToken, address: ADDRESS },
    );
    expect(outcome).toEqual(refused("refresh_token_reused"));
  });

  test("by a thief within the tolerance goes on until the session is ended", async () => {
    const user = await service.addUser();
    const { refreshToken: stolen } = await service.open(user);
    const [owner, thief] = await Promise.all([service.rotate(stolen), service.rotate(stolen)]);
    service.clock.advance(600_000);
    const further = await service.rotate(thief.refreshToken);
    service.clock.advance(600_000);
    const own = await service.rotate(owner.refreshToken);
    await logout(service.parts, await service.callerOf(own), ADDRESS);
    expect(await service.refresh(further.refreshToken)).toEqual(refused("session_ended"));
    expect(await callerOf(service.parts, further.accessToken)).toBeUndefined();
  });

  test("by two thieves at once ends the session once", async () => {
    const user = await service.addUser();
    const { refreshToken: stolen } = await service.open(user);
    await service.rotate(stolen);
    service.clock.advance(120_001);
    const outcomes = await Promise.all([service.refresh(stolen), service.refresh(stolen)]);
    const codes = outcomes.map((outcome) => (outcome.kind === "refused" ? outcome.code : ""));
    expect(codes.sort()).toEqual(["refresh_token_reused", "session_ended"]);
    expect(await service.revocationsOf(user.tenant)).toHaveLength(1);
  });

  test("keeps a session alive that is never idle for long, until it is too old", async () => {
    const user = await service.addUser();
    let { refreshToken } = await service.open(user);
    for (let day = 14; day < 90; day += 14) {
      service.clock.advance(14 * DAY_MS - 1);
      ({ refreshToken } = await service.rotate(refreshToken));
    }
    const left = 90 * DAY_MS - 6 * (14 * DAY_MS - 1);
    service.clock.advance(left - 1);
    ({ refreshToken } = await service.rotate(refreshToken));
    service.clock.advance(1);
    expect(await service.refresh(refreshToken)).toEqual(refused("refresh_token_invalid"));
    expect(await service.revocationsOf(user.tenant)).toEqual([]);
  });

  test("of a session that was idle for 14 days is refused", async () => {
    const { refreshToken, accessToken } = await service.open(await service.addUser());
    service.clock.advance(14 * DAY_MS);
    expect(await service.refresh(refreshToken)).toEqual(refused("refresh_token_invalid"));
    expect(await callerOf(service.parts, accessToken)).toBeUndefined();
  });

  test("after a logout, or of a disabled account, says why not", async () => {
    const user = await service.addUser();
    const tokens = await service.open(user);
    await logout(service.parts, await service.callerOf(tokens), ADDRESS);
    expect(await service.refresh(tokens.refreshToken)).toEqual(refused("session_ended"));
    await disableUser(service.parts, service.administrator, user);
    expect(await service.refresh(tokens.refreshToken)).toEqual(refused("account_disabled"));
    expect(await service.revocationsOf(user.tenant)).toHaveLength(2);
  });

  test("with what is no token of ours changes nothing", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    const [name, tenant = "", secret = ""] = refreshToken.split(".");
    const other = Buffer.from((await service.addUser()).tenant).toString("base64url");
    const swapped = secret.startsWith("A") ? `B${secret.slice(1)}` : `A${secret.slice(1)}`;
    for (const text of [
      "",
      "nonsense",
      `${name}.${tenant}.${swapped}`,
      `${name}.${other}.${secret}`,
    ]) {
      expect(await service.refresh(text)).toEqual(refused("refresh_token_invalid"));
    }
    expect(await service.sessionsOf(user)).toMatchObject([{ refreshGeneration: 0, endedAt: null }]);
    await service.rotate(refreshToken);
  });

  test("beyond the limit is not even looked at", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const answer = { admitted: false, limit: "refresh", retryAfterS: 3 } as const;
    const limits = { admitRefresh: () => Promise.resolve(answer) };
    const outcome = await refresh({ ...service.parts, limits }, { refreshToken, address: ADDRESS });
    expect(outcome).toEqual({ kind: "limited", retryAfterS: 3 });
    expect(service.observer.told.slice(-2)).toEqual(["limit refresh", "refresh limited refresh"]);
  });

  test("that fails for want of a key can be tried again at any time", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    service.clock.advance(60_000);
    service.mint.hasKey = false;
    await expect(service.refresh(refreshToken)).rejects.toMatchObject({ code: "no_key" });
    service.mint.hasKey = true;
    expect(service.observer.told.at(-1)).toBe("refresh failed keys");
    expect((await service.trailOf(user.tenant)).at(-1)).toBe("refresh failed keys");
    service.clock.advance(3_600_000);
    const { refreshToken: next } = await service.rotate(refreshToken);
    service.clock.advance(3_600_000);
    await service.rotate(next);
  });
});
