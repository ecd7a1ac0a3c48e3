/**
 * Two instances share a database, and their settings lead to two Redis servers: during a rolling
 * change of the setting, or where one name leads to both for a while.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "@jest/globals";
import { randomUUID } from "node:crypto";
import { sql } from "drizzle-orm";
import { PostgresServer } from "../../dev/postgres-server.js";
import { RedisServer } from "../../dev/redis-server.js";
import { momentOf, systemClock } from "../../src/runtime/clock.js";
import type { Database } from "../../src/sessions/database/database.js";
import { openPostgres } from "../../src/sessions/database/database-postgres.js";
import { LogOutbox } from "../../src/sessions/outbox/log-outbox.js";
import { beginGeneration, readLogRecord } from "../../src/sessions/outbox/log-record-sql.js";
import type { DecidedRevocation, Publisher } from "../../src/revocation-log/publisher.js";
import { PendingPublishing } from "../../src/sessions/outbox/pending-publishing.js";
import { restoreLog } from "../../src/sessions/outbox/restore.js";
import { pendingAfter } from "../../src/sessions/outbox/stored-revocations-sql.js";
import { RedisLogAdmin } from "../../src/revocation-log/log-admin-redis.js";
import type { LogAdmin } from "../../src/revocation-log/log-admin.js";
import { HORIZON_S, KEYS, redis } from "../support/following.js";
import { changedKeeper } from "../support/changed-log-admin.js";
import { patientConnections } from "../support/patient-connections.js";
import {
  commitEnds,
  databasePublisher,
  emptyTables,
  rows,
  seeLog,
  startRelaying,
  type Relaying,
  type RelayingOptions,
} from "../support/relaying.js";

let postgres: PostgresServer;
let database: Database;
let x: RedisServer;
let y: RedisServer;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  [postgres, x, y] = await Promise.all([
    PostgresServer.start(),
    RedisServer.start(),
    RedisServer.start(),
  ]);
  database = openPostgres({ url: await postgres.createDatabase("shared"), poolMax: 10 });
  await database.migrate();
});
beforeEach(() =>
  Promise.all([emptyTables(database), redis(x.url, "FLUSHALL"), redis(y.url, "FLUSHALL")]),
);
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
afterAll(async () => {
  await database.close();
  await Promise.all([postgres.close(), x.close(), y.close()]);
});

function relayOn(server: RedisServer, change: Partial<RelayingOptions> = {}): Relaying {
  const one = startRelaying({ database, url: server.url, ...change });
  closing.push(one.close);
  return one;
}

/** As the requests of an instance publish whose setting leads to X. */
function requestsOnX(around: (publisher: Publisher) => Publisher = (same) => same) {
  const left: string[] = [];
  const publisher = around(databasePublisher(x.url));
  const outbox = new LogOutbox({
    database,
    clock: systemClock,
    publisher,
    receipts: { waitFor: () => Promise.reject(new Error("nobody waits")) },
    observer: {
      onPublished: () => undefined,
      onLeft: (_count, code) => left.push(code),
      onRecordingFailed: () => undefined,
    },
  });
  closing.push(
    () => publisher.close(),
    () => outbox.close(),
  );
  return { outbox, left };
}

/** A log on X that a relay has made and left, as at the end of an instance. */
async function leaveLogOnX(): Promise<void> {
  const one = relayOn(x);
  await one.untilRestored(1);
  await one.untilNextCycle();
  await one.close();
}

const untilOnY = (relay: Relaying, committed: readonly DecidedRevocation[]): Promise<void> =>
  relay.until("everything in Y's log", async () => {
    const seen = await seeLog(y.url).catch(() => undefined);
    return committed.every(({ eventId }) => seen?.eventIds.includes(eventId) === true);
  });

/** Does something before the first append of a restore. */
function beforeAppend(act: () => Promise<void>): (logAdmin: LogAdmin) => LogAdmin {
  let acted = false;
  return (logAdmin) =>
    changedKeeper(logAdmin, {
      append: async (marker, horizonS, entries) => {
        if (!acted) {
          acted = true;
          await act();
        }
        return logAdmin.append(marker, horizonS, entries);
      },
    });
}

describe("an instance whose Redis holds a log that the database no longer means", () => {
  it("acknowledges nothing, and the relay publishes it in the log that is meant", async () => {
    await leaveLogOnX();
    const onY = relayOn(y);
    await onY.untilRestored(1);
    await onY.untilNextCycle();
    const { outbox, left } = requestsOnX();
    const sessions = Array.from({ length: 16 }, (_, i) => `s-${i}`);
    const committed: DecidedRevocation[] = [];
    const acknowledged: boolean[] = [];
    for (const session of sessions) {
      const ended = await commitEnds(database, session);
      committed.push(...ended);
      acknowledged.push((await outbox.publish(ended, 0)).published);
    }
    await outbox.close();
    await onY.untilNextCycle();
    const inY = (await seeLog(y.url)).eventIds;
    const lost = committed.filter(
      ({ eventId }, i) => acknowledged[i] === true && !inY.includes(eventId),
    );
    expect(lost).toHaveLength(0);
    expect(acknowledged).not.toContain(true);
    expect(left).toEqual(sessions.map(() => "generation_differs"));
    await untilOnY(onY, committed);
    expect((await seeLog(x.url)).eventIds).toEqual([]);
  });

  it("acknowledges nothing that was written there before the other log was restored", async () => {
    await leaveLogOnX();
    const ended = await commitEnds(database, "s");
    let onY: Relaying | undefined;
    const { outbox } = requestsOnX((publisher) => ({
      publish: async (request) => {
        const outcome = await publisher.publish(request);
        expect(outcome).toMatchObject({ published: true });
        onY = relayOn(y);
        await onY.untilRestored(1);
        return outcome;
      },
      close: () => publisher.close(),
    }));
    expect(await outbox.publish(ended, 0)).toEqual({
      published: false,
      code: "generation_differs",
    });
    if (onY === undefined) throw new Error("nothing was published");
    await untilOnY(onY, ended);
  });

  it("acknowledges nothing that is committed while the other log is restored", async () => {
    await leaveLogOnX();
    // So that there is a page, which is read before the act below.
    const early = await commitEnds(database, "early");
    const { outbox } = requestsOnX();
    const late: DecidedRevocation[] = [];
    const answers: unknown[] = [];
    const act = async (): Promise<void> => {
      late.push(...(await commitEnds(database, "late")));
      answers.push(await outbox.publish(late, 0));
    };
    const onY = relayOn(y, { around: beforeAppend(act) });
    await onY.untilRestored(1);
    expect(answers).toEqual([{ published: false, code: "generation_differs" }]);
    await untilOnY(onY, [...early, ...late]);
  });

  it("says so for as long as it is another log, and not while its own is restored", async () => {
    await leaveLogOnX();
    const onY = relayOn(y);
    await onY.untilRestored(1);
    const aside = relayOn(x);
    await aside.until("it to be seen", () => aside.relay.status().problem?.code === "other_log");
    expect(aside.relay.status().relaying).toBe(false);
    expect(aside.relay.status().problem?.message).toContain("SEKISHO_REDIS_URL");
    await onY.close();
    await aside.untilRestored(1);
    await aside.until("it to be over", () => aside.relay.status().problem === undefined);
    expect(aside.problems).toEqual(["other_log", undefined]);
  });

  it("has what it published before carried over, and the database says where it was", async () => {
    await leaveLogOnX();
    const { outbox } = requestsOnX();
    const ended = await commitEnds(database, "a", "b");
    expect(await outbox.publish(ended, 0)).toEqual({ published: true });
    await outbox.close();
    const { generation } = (await seeLog(x.url)).meta;
    const onY = relayOn(y);
    await untilOnY(onY, ended);
    await onY.untilNextCycle();
    expect(onY.counts.published).toBe(0);
    const facts = sql`SELECT published_generation AS "generation", published_seq::integer AS "seq"
      FROM sekisho.revocations ORDER BY published_seq`;
    expect(await rows(database, "relay", facts)).toEqual([
      { generation, seq: 2 },
      { generation, seq: 3 },
    ]);
  });
});

describe("a relay that has lost its lock and does not know it", () => {
  const partsOn = (server: RedisServer, around = (logAdmin: LogAdmin) => logAdmin) => {
    const logAdmin = new RedisLogAdmin(patientConnections(server.url), KEYS);
    closing.push(() => logAdmin.close());
    const requirements = {
      minReplicas: 0,
      horizonS: HORIZON_S,
      clockDifferenceMaxMs: 30_000,
    };
    const shared = { database, clock: systemClock, requirements, newId: randomUUID };
    return { ...shared, logAdmin: around(logAdmin) };
  };
  const restoreOn = async (parts: ReturnType<typeof partsOn>) => {
    const found = {
      facts: await parts.logAdmin.facts(),
      record: await database.transaction({ role: "relay" }, (queries) => readLogRecord(queries)),
      cause: "generation_differs",
      judgedAt: momentOf(systemClock),
    } as const;
    return restoreLog(parts, found, () => undefined);
  };
  const meant = async () => {
    const query = sql`SELECT generation, restoring_generation FROM sekisho.log_records`;
    return rows(database, "relay", query);
  };

  it("does not make its own log the one that is meant after another one was restored", async () => {
    await leaveLogOnX();
    await commitEnds(database, "early");
    const generations: string[] = [];
    const act = async (): Promise<void> => {
      generations.push((await restoreOn(partsOn(y))).generation);
    };
    const restoring = restoreOn(partsOn(x, beforeAppend(act)));
    await expect(restoring).rejects.toMatchObject({ name: "RestoreError", code: "superseded" });
    expect(await meant()).toEqual([{ generation: generations[0], restoring_generation: null }]);
    const left = await partsOn(x).logAdmin.facts();
    expect(left.meta).toBe("restoring");
  });

  it("counts nothing as published in a log that is not meant any more", async () => {
    await leaveLogOnX();
    await commitEnds(database, "s");
    const { generation } = (await seeLog(x.url)).meta;
    const real = databasePublisher(x.url);
    const publisher: Publisher = {
      publish: async (request) => {
        const outcome = await real.publish(request);
        expect(outcome).toMatchObject({ published: true });
        await database.transaction({ role: "relay" }, (queries) =>
          beginGeneration(queries, { generation: "another", inOrder: true }),
        );
        return outcome;
      },
      close: () => real.close(),
    };
    closing.push(() => publisher.close());
    const relaying = new PendingPublishing({
      database,
      clock: systemClock,
      publisher,
    });
    const first = await pending();
    const { published, refusal } = await relaying.pass(first, generation, () => undefined);
    expect([published, refusal?.code]).toEqual([0, "generation_differs"]);
    expect(await pending()).toHaveLength(1);
  });

  const pending = () =>
    database.transaction({ role: "relay" }, (queries) => pendingAfter(queries, undefined, 10));
});
