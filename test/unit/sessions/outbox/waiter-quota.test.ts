import { describe, expect, test } from "@jest/globals";

import { waitUntil } from "../../../../dev/wait-for.js";
import { LogOutbox } from "../../../../src/sessions/outbox/log-outbox.js";
import type { DecidedRevocation } from "../../../../src/revocation-log/publisher.js";
import { WaiterQuota } from "../../../../src/sessions/outbox/waiter-quota.js";
import type { Receipt } from "../../../../src/revocation-log/receipt.js";
import { ManualClock } from "../../../support/manual-clock.js";

describe("places to wait for a receipt", () => {
  test("are so many in all, and so many for one actor", () => {
    const places = new WaiterQuota({ inAllMax: 3, perActorMax: 2 });
    expect([places.take("a"), places.take("a"), places.take("a")]).toEqual([true, true, false]);
    expect([places.take("b"), places.take("c")]).toEqual([true, false]);
  });

  test("are free again once somebody has left", () => {
    const places = new WaiterQuota({ inAllMax: 2, perActorMax: 1 });
    for (let round = 0; round < 5; round += 1) {
      expect([places.take("a"), places.take("a"), places.take("b")]).toEqual([true, false, true]);
      places.leave("a");
      expect([places.take("b"), places.take("c")]).toEqual([false, true]);
      places.leave("b");
      places.leave("c");
    }
  });
});

describe("the outbox", () => {
  const RECEIPT: Receipt = { applied: [{ node: "one", ms: 1 }], pending: [], silent: [] };

  const untilWaiting = (waiting: readonly unknown[], count: number): Promise<void> =>
    waitUntil(() => waiting.length >= count, { what: "them to wait", timeoutMs: 2000 });

  function setUp() {
    let seq = 0;
    const waiting: { done: (receipt: Receipt) => void; fail: (error: Error) => void }[] = [];
    const outbox = new LogOutbox({
      // What cannot be recorded is published again, which is nothing to those who wait.
      database: {
        transaction: () => Promise.reject(new Error("there is no database")),
        migrate: () => Promise.resolve(),
        ping: () => Promise.resolve(0),
        tryLock: () => Promise.resolve(undefined),
        pool: { max: 0, inUse: 0, idle: 0, waiting: 0 },
        close: () => Promise.resolve(),
      },
      clock: new ManualClock(),
      publisher: {
        publish: () => {
          seq += 1;
          const entryId = `${seq}-0`;
          return Promise.resolve({ published: true, generation: "one", seq, entryId });
        },
        close: () => undefined,
      },
      check: { isCurrent: () => Promise.resolve(true) },
      receipts: {
        waitFor: () =>
          new Promise((done, fail) => {
            waiting.push({ done, fail });
          }),
      },
      observer: {
        onPublished: () => undefined,
        onLeft: () => undefined,
        onRecordingFailed: () => undefined,
      },
    });
    const by = (actor: string): DecidedRevocation => ({
      eventId: "one",
      atMs: 0,
      reason: undefined,
      actor,
      revocation: { kind: "session_revoked", tenant: "acme", user: "ann", session: "hers" },
    });
    return { outbox, waiting, publishBy: (actor: string) => outbox.publish([by(actor)], 10_000) };
  }

  test("answers one who waits too often at once, without the nodes, and others as before", async () => {
    const { waiting, publishBy } = setUp();
    const patient = Array.from({ length: 64 }, () => publishBy("ann"));
    expect(await publishBy("ann")).toEqual({ published: true });
    const other = publishBy("ben");
    await untilWaiting(waiting, 65);
    for (const { done } of waiting.splice(0)) done(RECEIPT);
    const answers = await Promise.all([...patient, other]);
    expect(answers).toEqual(answers.map(() => ({ published: true, nodes: RECEIPT })));
  });

  test("gives the place back also where the nodes cannot be read", async () => {
    const { waiting, publishBy } = setUp();
    for (let round = 0; round < 70; round += 1) {
      const publishing = publishBy("ann");
      await untilWaiting(waiting, 1);
      waiting.pop()?.fail(new Error("Redis went away"));
      expect(await publishing).toEqual({ published: true });
    }
    const last = publishBy("ann");
    await untilWaiting(waiting, 1);
    waiting.pop()?.done(RECEIPT);
    expect(await last).toEqual({ published: true, nodes: RECEIPT });
  });
});
