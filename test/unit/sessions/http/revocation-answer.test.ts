import { describe, expect, test } from "@jest/globals";

import { CALLER_ENDED } from "../../../../src/sessions/login/caller.js";
import { answerEnded, publishAndAnswer } from "../../../../src/sessions/http/revocation-answer.js";
import type { DecidedRevocation } from "../../../../src/revocation-log/publisher.js";
import type { Outbox, RevocationReceipt } from "../../../../src/sessions/outbox/outbox.js";

const committed: readonly DecidedRevocation[] = ["e1", "e2"].map((eventId) => ({
  eventId,
  revocation: { kind: "session_revoked", tenant: "t", user: "u", session: eventId },
  atMs: 1,
  reason: undefined,
  actor: undefined,
}));

/** Answers with this receipt and remembers how long it was to wait. */
class OneReceipt implements Outbox {
  readonly waits: number[] = [];
  readonly again: string[] = [];
  readonly #receipt: RevocationReceipt;

  constructor(receipt: RevocationReceipt) {
    this.#receipt = receipt;
  }

  publish(_committed: readonly DecidedRevocation[], waitMs: number) {
    this.waits.push(waitMs);
    return Promise.resolve(this.#receipt);
  }

  receiptAgain({ eventId }: DecidedRevocation, wait: { waitMs: number; actor: string }) {
    this.again.push(`${eventId} for ${wait.actor}, ${wait.waitMs} ms`);
    return Promise.resolve(this.#receipt);
  }
}

const late = { node: "n2", maxStalenessMs: 1000, onStale: "deny" } as const;
const gone = { node: "n3", maxStalenessMs: 2000, onStale: "allow" } as const;

describe("the answer to a revocation", () => {
  test("names every node and counts those that have applied it", async () => {
    const outbox = new OneReceipt({
      published: true,
      nodes: { applied: [{ node: "n1", ms: 12.3 }], pending: [late], silent: [gone] },
    });
    expect(await publishAndAnswer(outbox, committed, 250)).toEqual({
      status: 200,
      body: {
        published: true,
        acknowledged: true,
        event_ids: ["e1", "e2"],
        confirmed: false,
        nodes: 3,
        applied: 1,
        per_node: [{ node: "n1", ms: 12.3 }],
        pending: [{ node: "n2", max_staleness_ms: 1000, on_stale: "deny" }],
        silent: [{ node: "n3", max_staleness_ms: 2000, on_stale: "allow" }],
      },
    });
    expect(outbox.waits).toEqual([250]);
  });

  test("is not confirmed by a node of a former log, and says so", async () => {
    const nodes = {
      applied: [],
      pending: [{ ...late, reason: "former_log" } as const],
      silent: [],
    };
    const outbox = new OneReceipt({ published: true, nodes });
    expect((await publishAndAnswer(outbox, committed, 1)).body).toMatchObject({
      confirmed: false,
      nodes: 1,
      pending: [{ node: "n2", max_staleness_ms: 1000, on_stale: "deny", reason: "former_log" }],
    });
  });

  test("is not confirmed by a node whose row is in doubt, and leaves out what is not known of it", async () => {
    const pending = [
      { ...late, reason: "not_delivered" },
      { node: "n4", reason: "row_missing" },
    ] as const;
    const outbox = new OneReceipt({ published: true, nodes: { applied: [], pending, silent: [] } });
    const { body } = await publishAndAnswer(outbox, committed, 1);
    expect(body.confirmed).toBe(false);
    expect(body.pending).toEqual([
      { node: "n2", max_staleness_ms: 1000, on_stale: "deny", reason: "not_delivered" },
      { node: "n4", reason: "row_missing" },
    ]);
  });

  test("is confirmed where only silent nodes have said nothing", async () => {
    const nodes = { applied: [], pending: [], silent: [gone] };
    const { body } = await publishAndAnswer(
      new OneReceipt({ published: true, nodes }),
      committed,
      1,
    );
    expect(body).toMatchObject({ confirmed: true, nodes: 1, applied: 0 });
  });

  test("is 202 and says why where it could not be published", async () => {
    const outbox = new OneReceipt({ published: false, code: "redis_unavailable" });
    expect(await publishAndAnswer(outbox, committed, 0)).toEqual({
      status: 202,
      body: {
        published: false,
        acknowledged: false,
        event_ids: ["e1", "e2"],
        code: "redis_unavailable",
      },
    });
  });

  test("comes at once where there was nothing to end", async () => {
    const outbox = new OneReceipt({ published: false });
    expect(await publishAndAnswer(outbox, [], 1000)).toEqual({
      status: 200,
      body: { published: true, acknowledged: true, event_ids: [] },
    });
    expect(outbox.waits).toEqual([]);
  });
});

test.each([
  ["there is nothing to end", undefined, "not_found"],
  ["the caller's own session has ended", CALLER_ENDED, "invalid_token"],
])("the answer where %s is a refusal", async (_why, ended, code) => {
  const outbox = new OneReceipt({ published: true });
  expect(await answerEnded(outbox, ended, 5)).toEqual({ problem: { code } });
  expect(outbox).toMatchObject({ waits: [], again: [] });
});

describe("the answer to a revocation that was asked for before", () => {
  const earlier = committed.slice(0, 1);

  test("is the receipt of the first one; nothing is published", async () => {
    const outbox = new OneReceipt({ published: false, code: "pending" });
    const ended = { committed: earlier, repeatedBy: "user:t/u" };
    expect(await answerEnded(outbox, ended, 250)).toEqual({
      status: 202,
      body: { published: false, acknowledged: false, event_ids: ["e1"], code: "pending" },
    });
    expect(outbox).toMatchObject({ waits: [], again: ["e1 for user:t/u, 250 ms"] });
  });

  test("names no event where that is forgotten", async () => {
    const outbox = new OneReceipt({ published: false });
    const answer = await answerEnded(outbox, { committed: [], repeatedBy: "user:t/u" }, 250);
    const body = { published: true, acknowledged: true, event_ids: [] };
    expect(answer).toEqual({ status: 200, body });
    expect(outbox).toMatchObject({ waits: [], again: [] });
  });

  test("is a new one's where it was not", async () => {
    const outbox = new OneReceipt({ published: true });
    expect(await answerEnded(outbox, { committed: earlier }, 5)).toMatchObject({ status: 200 });
    expect(outbox).toMatchObject({ waits: [5], again: [] });
  });
});
