/** Users whose epoch can hardly rise, or not at all: each act still ends everything of theirs. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";
import { RedisServer } from "../../dev/redis-server.js";
import {
  disableUser,
  enableUser,
  revokeAll,
  setPassword,
} from "../../src/sessions/admin/user-acts.js";
import { systemClock } from "../../src/runtime/clock.js";
import { afterRestore } from "../../src/sessions/outbox/after-restore.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import type { DecidedRevocation } from "../../src/revocation-log/publisher.js";
import { login } from "../../src/sessions/login/login.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { follow, initLog, KEYS, redis, type Following } from "../support/following.js";
import {
  databasePublisher,
  emptyTables,
  rows,
  startRelaying,
  type Relaying,
} from "../support/relaying.js";
import { InProcessSessions, type TestUser } from "../support/in-process-sessions.js";
import { tokenNames } from "../support/token-names.js";

const LAST = Number.MAX_SAFE_INTEGER;
const ENTERED_MAX = 2 ** 52;

describe.each(DATABASES)("on $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  let service: InProcessSessions;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    [started, server] = await Promise.all([start(), RedisServer.start()]);
  });
  beforeEach(async () => {
    await Promise.all([emptyTables(started.database), redis(server.url, "FLUSHALL")]);
    service = new InProcessSessions(started.database);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
    await service.close();
  });
  afterAll(() => Promise.all([started.stop(), server.close()]));

  const parts = () => ({ ...service.parts, clock: systemClock });
  const relay = (): Relaying => {
    const one = startRelaying({ database: started.database, url: server.url });
    closing.push(one.close);
    return one;
  };
  const node = (): Following => {
    const one = follow(server.url);
    closing.push(() => one.follower.close());
    return one;
  };
  const setEpoch = (user: TestUser, epoch: number) =>
    service.asTenant(user.tenant, (queries) =>
      queries.execute(sql`UPDATE sekisho.users SET user_epoch = ${epoch}::bigint`),
    );
  const outbox = () => {
    const publisher = databasePublisher(server.url);
    const one = new LogOutbox({
      database: started.database,
      clock: systemClock,
      publisher,
      receipts: { waitFor: () => Promise.reject(new Error("nobody waits")) },
      observer: {
        onPublished: () => undefined,
        onLeft: () => undefined,
        onRecordingFailed: () => undefined,
      },
    });
    closing.push(
      () => publisher.close(),
      () => one.close(),
    );
    return one;
  };
  /** A login's token, as nodes see it. */
  const open = async (user: TestUser) => {
    const outcome = await login(parts(), service.requestOf(user));
    if (outcome.kind !== "opened") throw new Error(`no session: ${JSON.stringify(outcome)}`);
    return service.mint.factsOf(outcome.tokens.accessToken);
  };
  const refuses = (on: Following, token: Awaited<ReturnType<typeof open>>): boolean => {
    const known = on.state.lookUp(tokenNames(token.tenant, token.user, token.session));
    return (
      known.sessionRevoked || token.epoch < known.epoch || token.issuedAtS < known.issuedBefore
    );
  };

  const ACTS = {
    revokeAll,
    disableUser,
    setPassword: (...[given, by, user]: Parameters<typeof revokeAll>) =>
      setPassword(given, by, { ...user, password: "a long enough password" }),
  };
  /** Each act on a user with a session, whose token must then be refused; and the next one not. */
  const tryAll = async (user: TestUser, on: Following): Promise<DecidedRevocation[]> => {
    const publishing = outbox();
    const committed: DecidedRevocation[] = [];
    for (const [name, act] of Object.entries(ACTS)) {
      const token = await open(user);
      expect([name, refuses(on, token)]).toEqual([name, false]);
      const done = await act(parts(), service.administrator, user);
      if (done === undefined || !("committed" in done)) throw new Error(`${name} has done nothing`);
      expect(await publishing.publish(done.committed, 0)).toEqual({ published: true });
      await on.until(`${name} to be applied`, () => refuses(on, token));
      await enableUser(parts(), service.administrator, user);
      committed.push(...done.committed);
    }
    expect((await service.sessionsOf(user)).filter(({ endedAt }) => endedAt === null)).toEqual([]);
    return committed;
  };

  test("an epoch that a log of its own had raised to the last is taken over with room above", async () => {
    const user = await service.addUser();
    await initLog(server.url);
    // As it was published before there was a limit.
    const fields = { v: 1, seq: 2, kind: "user_revoked", tenant: user.tenant, user: user.user };
    const times = { at: Date.now(), forget_at: Date.now() + 900_000 };
    const all = { ...fields, epoch: LAST, event_id: randomUUID(), ...times };
    await redis(server.url, "XADD", KEYS.log, "*", ...Object.entries(all).flat().map(String));
    await redis(server.url, "HSET", KEYS.meta, "seq", "2");
    const before = await open(user);
    const one = relay();
    await one.untilRestored(1);
    expect(one.counts.imported).toBe(1);
    const on = node();
    await on.untilFresh();
    // The revocation that was taken over stays in force for what was issued before.
    expect(refuses(on, before)).toBe(true);
    expect(await service.userRow(user)).toMatchObject({ userEpoch: ENTERED_MAX });
    const known = on.state.lookUp(tokenNames(user.tenant, user.user, "none"));
    await on.until("its cut-off to have passed", () => Date.now() / 1000 >= known.issuedBefore);
    const committed = await tryAll(user, on);
    expect(committed.map(({ revocation }) => revocation)).toMatchObject(
      [1, 2, 3].map((n) => ({ kind: "user_revoked", epoch: ENTERED_MAX + n })),
    );
  });

  test("an epoch that cannot rise is helped by a cut-off at the next whole second", async () => {
    const user = await service.addUser();
    await setEpoch(user, LAST);
    await relay().untilRestored(1);
    const on = node();
    await on.untilFresh();
    const committed = await tryAll(user, on);
    for (const { revocation, atMs } of committed) {
      const issuedBefore = Math.floor(atMs / 1000) + 1;
      expect(revocation).toMatchObject({ kind: "user_revoked", epoch: LAST, issuedBefore });
    }
    await open(user);
  });

  test("after-restore revokes also the tokens of those whose epoch cannot rise", async () => {
    const [last, other] = [await service.addUser(), await service.addUser()];
    await setEpoch(last, LAST);
    const tokens = [await open(last), await open(other)];
    await afterRestore(started.database, systemClock, "cli:ops");
    const recorded = await rows(
      started.database,
      "relay",
      sql`SELECT kind FROM sekisho.revocations`,
    );
    expect(recorded).toEqual([{ kind: "all_revoked" }]);
    await relay().untilRestored(1);
    const on = node();
    await on.untilFresh();
    for (const { tenant, user, session, issuedAtS } of tokens) {
      const known = on.state.lookUp(tokenNames(tenant, user, session));
      expect(issuedAtS).toBeLessThan(known.allIssuedBefore);
    }
    expect(await service.userRow(last)).toMatchObject({ userEpoch: LAST });
  });
});
