/** A refresh whose answer was lost, two tabs, and thieves among them, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eq, sql } from "drizzle-orm";

import { refreshTokens } from "../../src/sessions/database/schema-sql.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import { refresh } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type StagedUser } from "../support/in-process-sessions.js";

const REUSED = { kind: "refused", code: "refresh_token_reused" };
const ENDED = { kind: "refused", code: "session_ended" };
/** More than the tolerance, less than the time for retries. */
const RETRY_AFTER_MS = 7000;

describe.each(DATABASES)("a refresh on $name", ({ start }) => {
  let started: StartedDatabase;
  let stage: InProcessSessions;
  beforeAll(async () => {
    started = await start();
    stage = new InProcessSessions(started.database);
  });
  afterAll(async () => {
    await stage.close();
    await started.stop();
  });

  const auditedRefreshes = async ({ tenant }: StagedUser) =>
    (await stage.trailOf(tenant)).filter((line) => line.startsWith("refresh "));

  test("whose answer was lost is retried after seven seconds", async () => {
    const user = await stage.addUser();
    const { refreshToken: first, sessionId } = await stage.open(user);
    const { refreshToken: lost } = await stage.rotate(first);
    stage.clock.advance(RETRY_AFTER_MS);
    const { refreshToken: second } = await stage.rotate(first);
    expect(stage.observer.told.at(-1)).toBe("refresh rotated retry");
    const [entry] = (await stage.auditOf(user.tenant)).filter(({ kind }) => kind === "refresh");
    const who = { userId: user.user, sessionId, address: ADDRESS, actor: "anonymous" };
    expect(entry).toMatchObject({ outcome: "done", reason: "retry", eventId: null, ...who });
    stage.clock.advance(600_000);
    const { refreshToken: third } = await stage.rotate(second);
    expect(await stage.refresh(lost)).toEqual(REUSED);
    expect(await stage.refresh(third)).toEqual(ENDED);
  });

  test("is retried until the time for that is over, counted from the first answer", async () => {
    const user = await stage.addUser();
    const { refreshToken } = await stage.open(user);
    await stage.rotate(refreshToken);
    for (let at = 20_000; at <= 120_000; at += 20_000) {
      stage.clock.advance(20_000);
      await stage.rotate(refreshToken);
    }
    expect(await auditedRefreshes(user)).toEqual(Array(6).fill("refresh done retry"));
    stage.clock.advance(1);
    expect(await stage.refresh(refreshToken)).toEqual(REUSED);
  });

  test("is retried twenty times and no more", async () => {
    const user = await stage.addUser();
    const { refreshToken } = await stage.open(user);
    await stage.rotate(refreshToken);
    stage.clock.advance(RETRY_AFTER_MS);
    for (let time = 0; time < 20; time += 1) await stage.rotate(refreshToken);
    expect(await stage.refresh(refreshToken)).toEqual(REUSED);
  });

  test("is never retried where that is turned off", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    await stage.rotate(refreshToken);
    stage.clock.advance(RETRY_AFTER_MS);
    const options = { ...stage.parts.options, refreshRetryMs: 0 };
    const outcome = await refresh({ ...stage.parts, options }, { refreshToken, address: ADDRESS });
    expect(outcome).toEqual(REUSED);
  });

  test("by two tabs at once gives both tokens that go on by themselves", async () => {
    const user = await stage.addUser();
    const { refreshToken } = await stage.open(user);
    const tabs = await Promise.all([stage.rotate(refreshToken), stage.rotate(refreshToken)]);
    expect(await auditedRefreshes(user)).toEqual(["refresh done sibling"]);
    let [one, other] = tabs;
    for (let round = 0; round < 3; round += 1) {
      stage.clock.advance(300_000);
      one = await stage.rotate(one.refreshToken);
      stage.clock.advance(300_000);
      other = await stage.rotate(other.refreshToken);
    }
    await stage.callerOf(one);
    await stage.callerOf(other);
    expect(await auditedRefreshes(user)).toHaveLength(1);
  });

  test("by five tabs that share their storage goes on with whichever token they kept", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    let kept = refreshToken;
    for (let round = 0; round < 4; round += 1) {
      const tabs = await Promise.all([1, 2, 3, 4, 5].map(() => stage.rotate(kept)));
      kept = tabs[round]?.refreshToken ?? "";
      stage.clock.advance(600_000);
    }
    await stage.rotate(kept);
  });

  test("goes on in two chains at most", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    const [one, other, third] = await Promise.all([1, 2, 3].map(() => stage.rotate(refreshToken)));
    if (one === undefined || other === undefined || third === undefined) throw new Error("three");
    stage.clock.advance(600_000);
    const next = await stage.rotate(one.refreshToken);
    await stage.rotate(other.refreshToken);
    expect(await stage.refresh(third.refreshToken)).toEqual(REUSED);
    expect(await stage.refresh(next.refreshToken)).toEqual(ENDED);
  });

  test("whose quick retry was answered leaves the other tab's chain alone", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    const [one, other] = await Promise.all([
      stage.rotate(refreshToken),
      stage.rotate(refreshToken),
    ]);
    stage.clock.advance(600_000);
    const { refreshToken: lost } = await stage.rotate(one.refreshToken);
    stage.clock.advance(1000);
    const { refreshToken: next } = await stage.rotate(one.refreshToken);
    await stage.rotate(next);
    await stage.rotate(other.refreshToken);
    expect(await stage.refresh(lost)).toEqual(REUSED);
  });

  test("by a thief after the successor was used ends the session", async () => {
    const user = await stage.addUser();
    const { refreshToken: stolen } = await stage.open(user);
    const { refreshToken: second } = await stage.rotate(stolen);
    stage.clock.advance(1000);
    const { refreshToken: third, accessToken } = await stage.rotate(second);
    expect(await stage.refresh(stolen)).toEqual(REUSED);
    expect(await stage.refresh(third)).toEqual(ENDED);
    expect(await callerOf(stage.parts, accessToken)).toBeUndefined();
  });

  test("by a thief before the successor is used is found out when the client comes back", async () => {
    const user = await stage.addUser();
    const { refreshToken: stolen } = await stage.open(user);
    const { refreshToken: owned } = await stage.rotate(stolen);
    stage.clock.advance(RETRY_AFTER_MS);
    const thief = await stage.rotate(stolen);
    stage.clock.advance(600_000);
    expect(await stage.refresh(owned)).toEqual(REUSED);
    expect(await stage.refresh(thief.refreshToken)).toEqual(ENDED);
    expect(await callerOf(stage.parts, thief.accessToken)).toBeUndefined();
    expect(await stage.revocationsOf(user.tenant)).toHaveLength(1);
  });

  test("of a client that was idle for days goes on; a thief with the token before ends it", async () => {
    const { refreshToken: stolen } = await stage.open(await stage.addUser());
    const { refreshToken: second } = await stage.rotate(stolen);
    stage.clock.advance(10 * 86_400_000);
    const { refreshToken: third } = await stage.rotate(second);
    stage.clock.advance(3 * 86_400_000);
    expect(await stage.refresh(second)).toEqual(REUSED);
    expect(await stage.refresh(third)).toEqual(ENDED);
  });

  test("with a token that is too old itself is refused, however busy its session is", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    const [one, other] = await Promise.all([
      stage.rotate(refreshToken),
      stage.rotate(refreshToken),
    ]);
    stage.clock.advance(7 * 86_400_000);
    const next = await stage.rotate(one.refreshToken);
    stage.clock.advance(7 * 86_400_000);
    const refused = { kind: "refused", code: "refresh_token_invalid" };
    expect(await stage.refresh(other.refreshToken)).toEqual(refused);
    await stage.rotate(next.refreshToken);
  });

  test("whose retry fails for want of a key can be retried as before", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    const { refreshToken: second } = await stage.rotate(refreshToken);
    stage.clock.advance(RETRY_AFTER_MS);
    for (const time of [1, 2]) {
      stage.mint.hasKey = false;
      const again = time === 1 ? refreshToken : second;
      await expect(stage.refresh(again)).rejects.toMatchObject({ code: "no_key" });
      stage.mint.hasKey = true;
    }
    const { refreshToken: third } = await stage.rotate(second);
    stage.clock.advance(600_000);
    await stage.rotate(third);
  });

  test("whose sibling fails for want of a key leaves the first answer good", async () => {
    const { refreshToken } = await stage.open(await stage.addUser());
    const { refreshToken: second } = await stage.rotate(refreshToken);
    stage.mint.hasKey = false;
    await expect(stage.refresh(refreshToken)).rejects.toMatchObject({ code: "no_key" });
    stage.mint.hasKey = true;
    stage.clock.advance(RETRY_AFTER_MS);
    const { refreshToken: other } = await stage.rotate(refreshToken);
    expect(await stage.refresh(second)).toEqual(REUSED);
    expect(await stage.refresh(other)).toEqual(ENDED);
  });

  test("remembers a bounded number of used tokens, and every live one", async () => {
    const user = await stage.addUser();
    const { sessionId, refreshToken } = await stage.open(user);
    const [idle, other] = await Promise.all([
      stage.rotate(refreshToken),
      stage.rotate(refreshToken),
    ]);
    let next = await stage.rotate(other.refreshToken);
    await stage.asTenant(user.tenant, (queries) =>
      queries.execute(sql`
        UPDATE sekisho.sessions SET refresh_generation = refresh_generation + 2044
        WHERE tenant_id = ${user.tenant} AND session_id = ${sessionId}`),
    );
    const remembered = async () => {
      const rows = await stage.asTenant(user.tenant, (queries) =>
        queries
          .select({ generation: refreshTokens.generation })
          .from(refreshTokens)
          .where(eq(refreshTokens.tenantId, user.tenant)),
      );
      return rows.map(({ generation }) => generation).sort((a, b) => a - b);
    };
    expect(await remembered()).toEqual([0, 1, 2, 3]);
    next = await stage.rotate(next.refreshToken);
    expect(await remembered()).toHaveLength(4);
    expect(await remembered()).toContain(2048);
    const invalid = { kind: "refused", code: "refresh_token_invalid" };
    expect(await stage.refresh(refreshToken)).toEqual(invalid);
    await stage.rotate(next.refreshToken);
    await stage.rotate(idle.refreshToken);
  });
});
