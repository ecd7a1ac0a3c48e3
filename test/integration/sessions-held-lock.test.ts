/**
 * A login and a refresh that wait for a revocation which holds the lock: they go on from what it has
 * committed, and their tokens do not claim to be younger than it. PGlite has one connection, so
 * nothing waits for a row there.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { eq, sql } from "drizzle-orm";

import { waitUntil } from "../../dev/wait-for.js";
import type { Queries } from "../../src/sessions/database/queries-sql.js";
import { users } from "../../src/sessions/database/schema-sql.js";
import { endEverything, endSession, lockUser } from "../../src/sessions/login/ending-sql.js";
import { login } from "../../src/sessions/login/login.js";
import { changeOwnPassword } from "../../src/sessions/login/password-change.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import {
  ADDRESS,
  PASSWORD,
  InProcessSessions,
  type TestUser,
} from "../support/in-process-sessions.js";

const ACT = { actor: "the test", reason: undefined, address: undefined, endedBy: "the test" };
const POSTGRESQL = DATABASES.filter(({ name }) => name === "PostgreSQL");

describe.each(POSTGRESQL)("while a revocation holds the lock on $name", ({ start }) => {
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

  const someoneWaits = () =>
    service.db.transaction({ role: "tenant", tenant: "" }, async (queries) => {
      const [row] = await queries
        .select({ count: sql<number>`count(*)::int` })
        .from(sql`pg_locks`)
        .where(sql`NOT granted`);
      return (row?.count ?? 0) > 0;
    });

  /** Revokes in a transaction that stays open until `act` waits for it, and for ten seconds more. */
  async function actMeanwhile<T>(
    user: TestUser,
    revoke: (queries: Queries) => Promise<unknown>,
    act: () => Promise<T>,
  ): Promise<T> {
    let acting: Promise<T> | undefined;
    await service.asTenant(user.tenant, async (queries) => {
      await revoke(queries);
      acting = act();
      // Watched, so that a refusal is no unhandled rejection; it is awaited below.
      acting.catch(() => undefined);
      // PostgreSQL ends a transaction that is idle for ten seconds.
      await waitUntil(someoneWaits, { what: "somebody to wait for a lock", timeoutMs: 9000 });
      service.clock.advance(10_000);
    });
    if (acting === undefined) throw new Error("the transaction did not run");
    return acting;
  }

  test("a login reads the new epoch, and its iat is from before", async () => {
    const user = await service.addUser();
    const beforeS = Math.floor(service.clock.wallMs() / 1000);
    const outcome = await actMeanwhile(
      user,
      (queries) => endEverything(queries, user, ACT, service.parts),
      () => login(service.parts, service.requestOf(user)),
    );
    if (outcome.kind !== "opened") throw new Error(outcome.kind);
    const facts = service.mint.factsOf(outcome.tokens.accessToken);
    expect(facts).toMatchObject({ epoch: 1, issuedAtS: beforeS });
    await service.callerOf(outcome.tokens);
  });

  test("a login finds its account disabled", async () => {
    const user = await service.addUser();
    const outcome = await actMeanwhile(
      user,
      async (queries) => {
        await lockUser(queries, user.tenant, user.user);
        const disabledAt = new Date(service.clock.wallMs());
        await queries.update(users).set({ disabledAt }).where(eq(users.userId, user.user));
      },
      () => login(service.parts, service.requestOf(user)),
    );
    expect(outcome).toEqual({ kind: "refused", code: "account_disabled" });
  });

  test("a refresh that needs the user finds its session ended", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    const outcome = await actMeanwhile(
      user,
      (queries) => endEverything(queries, user, ACT, service.parts),
      () => service.refresh(refreshToken),
    );
    expect(outcome).toEqual({ kind: "refused", code: "session_ended" });
  });

  test("a refresh that needs the session finds it ended", async () => {
    const user = await service.addUser();
    const { refreshToken, sessionId: session } = await service.open(user);
    const outcome = await actMeanwhile(
      user,
      (queries) => endSession(queries, { ...user, session }, ACT, service.parts),
      () => service.refresh(refreshToken),
    );
    expect(outcome).toEqual({ kind: "refused", code: "session_ended" });
  });

  test("a refresh after another one of the same user has an iat from before it waited", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    const beforeS = Math.floor(service.clock.wallMs() / 1000);
    const outcome = await actMeanwhile(
      user,
      (queries) => lockUser(queries, user.tenant, user.user),
      () => service.refresh(refreshToken),
    );
    if (outcome.kind !== "rotated") throw new Error(outcome.kind);
    expect(service.mint.factsOf(outcome.tokens.accessToken).issuedAtS).toBe(beforeS);
  });

  test("a password change finds its session ended", async () => {
    const user = await service.addUser();
    const caller = await service.callerOf(await service.open(user));
    const newPassword = "another long password";
    const change = { currentPassword: PASSWORD, newPassword, address: ADDRESS };
    const outcome = await actMeanwhile(
      user,
      (queries) => endEverything(queries, user, ACT, service.parts),
      () => changeOwnPassword(service.parts, caller, change),
    );
    expect(outcome).toEqual({ kind: "refused", code: "session_ended" });
  });
});
