/** A refresh whose answer was lost, two tabs, and thieves among them, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eq, sql } from "drizzle-orm";

import { refreshTokens } from "../../src/sessions/database/schema-sql.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import { refresh } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

const REUSED = { kind: "refused", code: "refresh_token_reused" };
const ENDED = { kind: "refused", code: "session_ended" };
/** More than the tolerance, less than the time for retries. */
const RETRY_AFTER_MS = 7000;

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

  const auditedRefreshes = async ({ tenant }: TestUser) =>
    (await service.trailOf(tenant)).filter((line) => line.startsWith("refresh "));

  test("whose answer was lost is retried after seven seconds", async () => {
    const user = await service.addUser();
    const { refreshToken: first, sessionId } = await service.open(user);
    const { refreshToken: lost } = await service.rotate(first);
    service.clock.advance(RETRY_AFTER_MS);
    const { refreshToken: second } = await service.rotate(first);
    expect(service.observer.told.at(-1)).toBe("refresh rotated retry");
    const [entry] = (await service.auditOf(user.tenant)).filter(({ kind }) => kind === "refresh");
    const who = { userId: user.user, sessionId, address: ADDRESS, actor: "anonymous" };
    expect(entry).toMatchObject({ outcome: "done", reason: "retry", eventId: null, ...who });
    service.clock.advance(600_000);
    const { refreshToken: third } = await service.rotate(second);
    expect(await service.refresh(lost)).toEqual(REUSED);
    expect(await service.refresh(third)).toEqual(ENDED);
  });

  test("is retried until the time for that is over, counted from the first answer", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    await service.rotate(refreshToken);
    for (let at = 20_000; at <= 120_000; at += 20_000) {
      service.clock.advance(20_000);
      await service.rotate(refreshToken);
    }
    expect(await auditedRefreshes(user)).toEqual(Array(6).fill("refresh done retry"));
    service.clock.advance(1);
    expect(await service.refresh(refreshToken)).toEqual(REUSED);
  });

  test("is retried twenty times and no more", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    await service.rotate(refreshToken);
    service.clock.advance(RETRY_AFTER_MS);
    for (let time = 0; time < 20; time += 1) await service.rotate(refreshToken);
    expect(await service.refresh(refreshToken)).toEqual(REUSED);
  });

  test("is never retried where that is turned off", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    await service.rotate(refreshToken);
    service.clock.advance(RETRY_AFTER_MS);
    const options = { ...service.parts.options, refreshRetryMs: 0 };
    const outcome = await refresh(
      { ...service.parts, options },
      { refreshToken, address: ADDRESS },
    );
    expect(outcome).toEqual(REUSED);
  });

  test("by two tabs at once gives both tokens that go on by themselves", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    const tabs = await Promise.all([service.rotate(refreshToken), service.rotate(refreshToken)]);
    expect(await auditedRefreshes(user)).toEqual(["refresh done sibling"]);
    let [one, other] = tabs;
    for (let round = 0; round < 3; round += 1) {
      service.clock.advance(300_000);
      one = await service.rotate(one.refreshToken);
      service.clock.advance(300_000);
      other = await service.rotate(other.refreshToken);
    }
    await service.callerOf(one);
    await service.callerOf(other);
    expect(await auditedRefreshes(user)).toHaveLength(1);
  });

  test("by five tabs that share their storage goes on with whichever token they kept", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    let kept = refreshToken;
    for (let round = 0; round < 4; round += 1) {
      const tabs = await Promise.all([1, 2, 3, 4, 5].map(() => service.rotate(kept)));
      kept = tabs[round]?.refreshToken ?? "";
      service.clock.advance(600_000);
    }
    await service.rotate(kept);
  });

  test("goes on in two chains at most", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const [one, other, third] = await Promise.all(
      [1, 2, 3].map(() => service.rotate(refreshToken)),
    );
    if (one === undefined || other === undefined || third === undefined) throw new Error("three");
    service.clock.advance(600_000);
    const next = await service.rotate(one.refreshToken);
    await service.rotate(other.refreshToken);
    expect(await service.refresh(third.refreshToken)).toEqual(REUSED);
    expect(await service.refresh(next.refreshToken)).toEqual(ENDED);
  });

  test("whose quick retry was answered leaves the other tab's chain alone", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const [one, other] = await Promise.all([
      service.rotate(refreshToken),
      service.rotate(refreshToken),
    ]);
    service.clock.advance(600_000);
    const { refreshToken: lost } = await service.rotate(one.refreshToken);
    service.clock.advance(1000);
    const { refreshToken: next } = await service.rotate(one.refreshToken);
    await service.rotate(next);
    await service.rotate(other.refreshToken);
    expect(await service.refresh(lost)).toEqual(REUSED);
  });

  test("by a thief after the successor was used ends the session", async () => {
    const user = await service.addUser();
    const { refreshToken: stolen } = await service.open(user);
    const { refreshToken: second } = await service.rotate(stolen);
    service.clock.advance(1000);
    const { refreshToken: third, accessToken } = await service.rotate(second);
    expect(await service.refresh(stolen)).toEqual(REUSED);
    expect(await service.refresh(third)).toEqual(ENDED);
    expect(await callerOf(service.parts, accessToken)).toBeUndefined();
  });

  test("by a thief before the successor is used is found out when the client comes back", async () => {
    const user = await service.addUser();
    const { refreshToken: stolen } = await service.open(user);
    const { refreshToken: owned } = await service.rotate(stolen);
    service.clock.advance(RETRY_AFTER_MS);
    const thief = await service.rotate(stolen);
    service.clock.advance(600_000);
    expect(await service.refresh(owned)).toEqual(REUSED);
    expect(await service.refresh(thief.refreshToken)).toEqual(ENDED);
    expect(await callerOf(service.parts, thief.accessToken)).toBeUndefined();
    expect(await service.revocationsOf(user.tenant)).toHaveLength(1);
  });

  test("of a client that was idle for days goes on; a thief with the token before ends it", async () => {
    const { refreshToken: stolen } = await service.open(await service.addUser());
    const { refreshToken: second } = await service.rotate(stolen);
    service.clock.advance(10 * 86_400_000);
    const { refreshToken: third } = await service.rotate(second);
    service.clock.advance(3 * 86_400_000);
    expect(await service.refresh(second)).toEqual(REUSED);
    expect(await service.refresh(third)).toEqual(ENDED);
  });

  test("with a token that is too old itself is refused, however busy its session is", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const [one, other] = await Promise.all([
      service.rotate(refreshToken),
      service.rotate(refreshToken),
    ]);
    service.clock.advance(7 * 86_400_000);
    const next = await service.rotate(one.refreshToken);
    service.clock.advance(7 * 86_400_000);
    const refused = { kind: "refused", code: "refresh_token_invalid" };
    expect(await service.refresh(other.refreshToken)).toEqual(refused);
    await service.rotate(next.refreshToken);
  });

  test("whose retry fails for want of a key can be retried as before", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const { refreshToken: second } = await service.rotate(refreshToken);
    service.clock.advance(RETRY_AFTER_MS);
    for (const time of [1, 2]) {
      service.mint.hasKey = false;
      const again = time === 1 ? refreshToken : second;
      await expect(service.refresh(again)).rejects.toMatchObject({ code: "no_key" });
      service.mint.hasKey = true;
    }
    const { refreshToken: third } = await service.rotate(second);
    service.clock.advance(600_000);
    await service.rotate(third);
  });

  test("whose sibling fails for want of a key leaves the first answer good", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    const { refreshToken: second } = await service.rotate(refreshToken);
    service.mint.hasKey = false;
    await expect(service.refresh(refreshToken)).rejects.toMatchObject({ code: "no_key" });
    service.mint.hasKey = true;
    service.clock.advance(RETRY_AFTER_MS);
    const { refreshToken: other } = await service.rotate(refreshToken);
    expect(await service.refresh(second)).toEqual(REUSED);
    expect(await service.refresh(other)).toEqual(ENDED);
  });

  test("remembers a bounded number of used tokens, and every live one", async () => {
    const user = await service.addUser();
    const { sessionId, refreshToken } = await service.open(user);
    const [idle, other] = await Promise.all([
      service.rotate(refreshToken),
      service.rotate(refreshToken),
    ]);
    let next = await service.rotate(other.refreshToken);
    await service.asTenant(user.tenant, (queries) =>
      queries.execute(sql`
        UPDATE sekisho.sessions SET refresh_generation = refresh_generation + 2044
        WHERE tenant_id = ${user.tenant} AND session_id = ${sessionId}`),
    );
    const remembered = async () => {
      const rows = await service.asTenant(user.tenant, (queries) =>
        queries
          .select({ generation: refreshTokens.generation })
          .from(refreshTokens)
          .where(eq(refreshTokens.tenantId, user.tenant)),
      );
      return rows.map(({ generation }) => generation).sort((a, b) => a - b);
    };
    expect(await remembered()).toEqual([0, 1, 2, 3]);
    next = await service.rotate(next.refreshToken);
    expect(await remembered()).toHaveLength(4);
    expect(await remembered()).toContain(2048);
    const invalid = { kind: "refused", code: "refresh_token_invalid" };
    expect(await service.refresh(refreshToken)).toEqual(invalid);
    await service.rotate(next.refreshToken);
    await service.rotate(idle.refreshToken);
  });
});
