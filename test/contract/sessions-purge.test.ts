/** What has expired is deleted, and nothing else, on both databases. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";

import { refreshTokens, revocations } from "../../src/sessions/database/schema-sql.js";
import { login } from "../../src/sessions/login/login.js";
import { Purger, type PurgedRows } from "../../src/sessions/login/purge.js";
import { endUserSession, revokeAll } from "../../src/sessions/admin/user-acts.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions } from "../support/in-process-sessions.js";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const NOTHING: PurgedRows = { refreshTokens: 0, sessions: 0, loginFailures: 0, revocations: 0 };

/** A timer that goes off when told to, and what it was set to. */
class HeldTimer {
  readonly delays: number[] = [];
  #run: (() => void) | undefined;
  #tellSet: () => void = () => undefined;

  readonly schedule = (run: () => void, delayMs: number) => {
    this.delays.push(delayMs);
    this.#run = run;
    this.#tellSet();
    return () => {
      this.#run = undefined;
    };
  };

  get isSet(): boolean {
    return this.#run !== undefined;
  }

  /** Settled when it is set once more. */
  setAgain(): Promise<void> {
    return new Promise((resolve) => {
      this.#tellSet = resolve;
    });
  }

  goOff(): void {
    const run = this.#run;
    this.#run = undefined;
    if (run === undefined) throw new Error("the timer is not set");
    run();
  }
}

describe.each(DATABASES)("the purger on $name", ({ start }) => {
  let started: StartedDatabase;
  let service: InProcessSessions;
  let purger: Purger | undefined;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  afterEach(async () => {
    await purger?.close();
  });
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  /** A purger, its timer, and how its next run ends. */
  function begin(
    options: {
      batchRows?: number;
      db?: typeof service.db;
      random?: number;
      windowMs?: number;
    } = {},
  ) {
    const timer = new HeldTimer();
    const ends: ((end: PurgedRows | Error) => void)[] = [];
    const end = (what: PurgedRows | Error) => ends.shift()?.(what);
    purger = new Purger({
      db: options.db ?? service.db,
      clock: service.clock,
      random: () => options.random ?? 0.5,
      observer: {
        onPurged: end,
        onPurgeFailed: (error) => end(error instanceof Error ? error : new Error("no error")),
      },
      lockout: { windowMs: options.windowMs ?? service.parts.options.lockout.windowMs },
      schedule: timer.schedule,
      ...(options.batchRows === undefined ? {} : { batchRows: options.batchRows }),
    });
    purger.start();
    const ended = () => new Promise<PurgedRows | Error>((resolve) => ends.push(resolve));
    const run = async () => {
      const end = Promise.all([ended(), timer.setAgain()]);
      timer.goOff();
      expect(timer.isSet).toBe(false);
      return (await end)[0];
    };
    return { purger, timer, run };
  }

  async function purgeAll(): Promise<void> {
    const { run, purger: clearing } = begin();
    await run();
    await clearing.close();
  }

  test("runs about every minute, each time when the run before is over", async () => {
    const { timer, run } = begin({ random: 0 });
    expect(timer.delays).toEqual([54_000]);
    await run();
    expect(timer.delays).toEqual([54_000, 54_000]);
    await purger?.close();
    expect(begin({ random: 0.999 }).timer.delays).toEqual([65_988]);
  });

  test("keeps a session that has expired as long as an access token of it may live", async () => {
    await purgeAll();
    const user = await service.addUser();
    const { sessionId: session } = await service.open(user);
    service.clock.advance(14 * DAY_MS);
    const { run } = begin();
    expect(await run()).toEqual({ ...NOTHING, refreshTokens: 1 });
    const ended = await endUserSession(service.parts, service.administrator, { ...user, session });
    expect(ended).toMatchObject({
      committed: [{ revocation: { kind: "session_revoked", session } }],
    });
    service.clock.advance(25 * 60 * MINUTE_MS - 1);
    expect(await run()).toEqual(NOTHING);
    service.clock.advance(1);
    expect(await run()).toEqual({ ...NOTHING, sessions: 1 });
  });

  test("deletes refresh tokens at the moment they expire, and the last one's session after", async () => {
    await purgeAll();
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    service.clock.advance(DAY_MS);
    await service.rotate(refreshToken);
    service.clock.advance(13 * DAY_MS - 1);
    const { run } = begin();
    expect(await run()).toEqual(NOTHING);
    service.clock.advance(1);
    expect(await run()).toEqual({ ...NOTHING, refreshTokens: 1 });
    service.clock.advance(DAY_MS);
    expect(await run()).toEqual({ ...NOTHING, refreshTokens: 1 });
    service.clock.advance(2 * DAY_MS);
    expect(await run()).toEqual({ ...NOTHING, sessions: 1 });
    expect(await service.sessionsOf(user)).toEqual([]);
    expect(await service.trailOf(user.tenant)).toEqual(["login done"]);
  });

  test("forgets failures that count no more, and no lock that stands", async () => {
    await purgeAll();
    const fail = async (name: string, times: number) => {
      const request = service.requestOf({ tenant: "none", user: "", login: name });
      for (let time = 0; time < times; time += 1) await login(service.parts, request);
    };
    await fail("once", 1);
    await fail("locked", 10);
    service.clock.advance(MINUTE_MS);
    const { run } = begin({ windowMs: MINUTE_MS });
    expect(await run()).toEqual(NOTHING);
    service.clock.advance(1);
    expect(await run()).toEqual({ ...NOTHING, loginFailures: 1 });
    service.clock.advance(14 * MINUTE_MS - 2);
    expect(await run()).toEqual(NOTHING);
    expect(await service.failuresOf("none", "locked")).toMatchObject({ failures: 10 });
    service.clock.advance(1);
    expect(await run()).toEqual({ ...NOTHING, loginFailures: 1 });
  });

  test("keeps revocations for 35 days, and for ever what Redis has not", async () => {
    await purgeAll();
    const user = await service.addUser();
    await revokeAll(service.parts, service.administrator, user);
    await revokeAll(service.parts, service.administrator, user);
    await service.db.transaction({ role: "relay" }, async (queries) => {
      const publishedAt = new Date(service.clock.wallMs());
      await queries
        .update(revocations)
        .set({ publishedAt, publishedGeneration: "g", publishedSeq: 2 })
        .where(sql`epoch = 1`);
    });
    service.clock.advance(35 * DAY_MS - 1);
    const { run } = begin();
    expect(await run()).toEqual(NOTHING);
    service.clock.advance(1);
    expect(await run()).toEqual({ ...NOTHING, revocations: 1 });
    expect(await service.revocationsOf(user.tenant)).toMatchObject([{ epoch: 2 }]);
  });

  test("deletes a bounded number of rows in each run, tokens before their sessions", async () => {
    await purgeAll();
    const user = await service.addUser();
    const { sessionId } = await service.open(user);
    const like = { tenantId: user.tenant, sessionId, retries: 0, successorUsed: false };
    const issuedAt = new Date(service.clock.wallMs());
    await service.asTenant(user.tenant, async (queries) => {
      const rows = Array.from({ length: 44 }, (_, number) => ({
        ...like,
        generation: number + 1,
        tokenHash: Buffer.alloc(32, number + 1),
        issuedAt,
        expiresAt: issuedAt,
      }));
      await queries.insert(refreshTokens).values(rows);
    });
    service.clock.advance(16 * DAY_MS);
    const { run } = begin({ batchRows: 2 });
    expect(await run()).toEqual({ ...NOTHING, refreshTokens: 40 });
    expect(await run()).toEqual({ ...NOTHING, refreshTokens: 5, sessions: 1 });
  });

  test("goes on after a run that failed", async () => {
    const away = new Error("away");
    const failing = { ...service.db, transaction: () => Promise.reject(away) };
    const { run, timer } = begin({ db: failing });
    expect(await run()).toBe(away);
    expect(timer.isSet).toBe(true);
  });

  test("sets no timer any more once it is closed", async () => {
    const { timer, purger: closing } = begin();
    timer.goOff();
    await closing.close();
    expect(timer.isSet).toBe(false);
    closing.start();
    expect(timer.isSet).toBe(false);
  });
});
