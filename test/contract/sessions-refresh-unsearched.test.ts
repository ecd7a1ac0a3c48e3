/** Refreshes while the revocation log may hold what this database does not know. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { sql } from "drizzle-orm";

import { RedisServer } from "../../dev/redis-server.js";
import { logRecords } from "../../src/sessions/database/schema-sql.js";
import { readUnsearchedMs } from "../../src/sessions/outbox/log-record-sql.js";
import { refresh } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { emptyTables, startRelaying, type Relaying } from "../support/relaying.js";
import { ADDRESS, InProcessSessions } from "../support/in-process-sessions.js";
import { TcpProxy } from "../support/tcp-proxy.js";

const UNSEARCHED = { kind: "unsearched" };
const LIFETIME_S = 600;
const MAX_MS = 300_000;
/** Longer than any of this takes. */
const NOISE_S = 60;

describe.each(DATABASES)("a refresh on $name", ({ start }) => {
  let started: StartedDatabase;
  let service: InProcessSessions;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  beforeEach(() => emptyTables(started.database));
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  /** The log was searched so long ago. */
  const searched = (agoMs: number): Promise<void> =>
    started.database.transaction({ role: "relay" }, async (queries) => {
      const searchedAt = sql`clock_timestamp() - make_interval(secs => ${agoMs / 1000})`;
      await queries
        .insert(logRecords)
        .values({ partition: 0, seq: 0, searchedAt })
        .onConflictDoUpdate({ target: logRecords.partition, set: { searchedAt } });
    });
  const nowS = (): number => Math.floor(service.clock.wallMs() / 1000);
  /** How old the token claims to be, in seconds. */
  const ageOf = (accessToken: string): number =>
    nowS() - service.mint.factsOf(accessToken).issuedAtS;

  test("gives a token that is as old as the last search, and over as much earlier", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    service.clock.advance(1_000_000);
    await searched(200_000);
    const { accessToken, expiresInS } = await service.rotate(refreshToken);
    const ageS = ageOf(accessToken);
    expect(ageS).toBeGreaterThanOrEqual(200);
    expect(ageS).toBeLessThan(200 + NOISE_S);
    expect(expiresInS).toBe(LIFETIME_S - ageS);
  });

  test("gives a token that is no older than the session's login", async () => {
    await searched(200_000);
    const { refreshToken } = await service.open(await service.addUser());
    service.clock.advance(20_000);
    const { accessToken, expiresInS } = await service.rotate(refreshToken);
    expect(ageOf(accessToken)).toBe(20);
    expect(expiresInS).toBe(LIFETIME_S - 20);
  });

  test("gives a token of now where there has never been a log", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    service.clock.advance(1_000_000);
    const { accessToken, expiresInS } = await service.rotate(refreshToken);
    expect([ageOf(accessToken), expiresInS]).toEqual([0, LIFETIME_S]);
  });

  test("gives nothing after too long without a search, and takes the same token later", async () => {
    const user = await service.addUser();
    const { refreshToken } = await service.open(user);
    await searched(MAX_MS + 1);
    expect(await service.refresh(refreshToken)).toEqual(UNSEARCHED);
    expect(service.observer.told.at(-1)).toBe("refresh failed revocation_log");
    // Longer than a retry would be taken for one.
    service.clock.advance(1_000_000);
    expect(await service.refresh(refreshToken)).toEqual(UNSEARCHED);
    const [session] = await service.sessionsOf(user);
    expect(session?.refreshGeneration).toBe(0);

    await searched(0);
    await service.rotate(refreshToken);
    expect(service.observer.told.at(-1)).toBe("refresh rotated rotated");
  });

  test("finds a theft out, and an ended session, without a search as well", async () => {
    const { refreshToken: first } = await service.open(await service.addUser());
    const { refreshToken: second } = await service.rotate(first);
    await service.rotate(second);
    await searched(MAX_MS + 1);
    expect(await service.refresh(first)).toEqual({ kind: "refused", code: "refresh_token_reused" });
    expect(await service.refresh(second)).toEqual({ kind: "refused", code: "session_ended" });
  });

  test("goes on for ever, with tokens of now, where that is turned off", async () => {
    const { refreshToken } = await service.open(await service.addUser());
    service.clock.advance(1_000_000);
    await searched(10 * MAX_MS);
    const options = { ...service.parts.options, refreshUnsearchedMaxMs: 0 };
    const parts = { ...service.parts, options };
    const outcome = await refresh(parts, { refreshToken, address: ADDRESS });
    if (outcome.kind !== "rotated") throw new Error(`not refreshed: ${outcome.kind}`);
    expect(ageOf(outcome.tokens.accessToken)).toBe(0);
  });

  test("lets logins through without a search", async () => {
    await searched(MAX_MS + 1);
    const { accessToken } = await service.open(await service.addUser());
    expect(ageOf(accessToken)).toBe(0);
  });
});

describe.each(DATABASES)("a relay on $name", ({ start }) => {
  let started: StartedDatabase;
  let server: RedisServer;
  let way: TcpProxy;
  const relays: Relaying[] = [];
  beforeAll(async () => {
    [started, server] = await Promise.all([start(), RedisServer.start()]);
    way = await TcpProxy.start(server.port);
  });
  afterEach(async () => {
    await Promise.all(relays.splice(0).map((one) => one.close()));
  });
  afterAll(async () => {
    await way.close();
    await Promise.all([started.stop(), server.close()]);
  });

  const unsearchedMs = (): Promise<number | undefined> =>
    started.database.transaction({ role: "tenant", tenant: "acme" }, readUnsearchedMs);
  const untilSearched = (one: Relaying, isSo: (agoMs: number) => boolean): Promise<void> =>
    one.until("the search to be told", async () => isSo((await unsearchedMs()) ?? Infinity));

  test("tells every instance when it searched last, for as long as it reaches Redis", async () => {
    expect(await unsearchedMs()).toBeUndefined();
    const one = startRelaying({ database: started.database, url: way.url });
    relays.push(one);
    await one.untilRestored(1);
    await one.untilNextCycle();
    await untilSearched(one, (agoMs) => agoMs < 1000);
    way.cutOff();
    await untilSearched(one, (agoMs) => agoMs > 4000);
    expect(one.problems.at(-1)).toBe("redis_unavailable");
    way.mend();
    await untilSearched(one, (agoMs) => agoMs < 1000);
  });
});
