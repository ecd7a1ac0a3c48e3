import { describe, expect, it } from "@jest/globals";
import { PublishCircuitBreaker } from "../../../../src/sessions/outbox/publish-circuit-breaker.js";
import type { Publisher, PublishOutcome } from "../../../../src/revocation-log/publisher.js";
import { ManualClock } from "../../../support/manual-clock.js";

const DONE: PublishOutcome = { published: true, generation: "g", seq: 1, entryId: "1-0" };
const AWAY: PublishOutcome = { published: false, code: "unreachable", message: "away" };
const REST_MS = 250;

/** A publisher whose answers the test gives. */
class HeldPublisher implements Publisher {
  readonly asked: string[] = [];
  readonly #answers: ((outcome: PublishOutcome) => void)[] = [];

  publish({ eventId }: { readonly eventId: string }): Promise<PublishOutcome> {
    this.asked.push(eventId);
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  answer(outcome: PublishOutcome): void {
    const answers = this.#answers.splice(0);
    expect(answers.length).toBeGreaterThan(0);
    for (const give of answers) give(outcome);
  }

  close(): void {
    this.answer(AWAY);
  }
}

function setUp() {
  const clock = new ManualClock();
  const publisher = new HeldPublisher();
  const gate = new PublishCircuitBreaker(publisher, clock);
  const publish = (eventId: string) =>
    gate.publish({
      eventId,
      revocation: { kind: "session_revoked", tenant: "t", session: "s", user: undefined },
      atMs: 0,
      reason: undefined,
      actor: undefined,
    });
  return { clock, publisher, publish };
}
const codeOf = (outcome: { readonly published: boolean; readonly code?: string }) =>
  outcome.published ? "published" : outcome.code;

describe("the gate before a publisher", () => {
  it("lets 32 pass at a time, in the order in which they came", async () => {
    const { publisher, publish } = setUp();
    const all = Array.from({ length: 40 }, (_, i) => publish(String(i)));
    expect(publisher.asked).toHaveLength(32);
    publisher.answer(DONE);
    await Promise.all(all.slice(0, 32));
    expect(publisher.asked).toEqual(Array.from({ length: 40 }, (_, i) => String(i)));
    publisher.answer(DONE);
    expect((await Promise.all(all)).every(({ published }) => published)).toBe(true);
  });

  it("turns everyone away at once who waited while Redis could not be reached", async () => {
    const { publisher, publish } = setUp();
    const all = Array.from({ length: 1000 }, (_, i) => publish(String(i)));
    publisher.answer(AWAY);
    expect(new Set((await Promise.all(all)).map(codeOf))).toEqual(new Set(["unreachable"]));
    expect(publisher.asked).toHaveLength(32);
  });

  it("rests after a failure, then lets a single one try", async () => {
    const { clock, publisher, publish } = setUp();
    const first = publish("first");
    publisher.answer(AWAY);
    await first;
    clock.advance(REST_MS - 1);
    expect(codeOf(await publish("too soon"))).toBe("unreachable");
    clock.advance(1);
    const probe = publish("probe");
    expect(codeOf(await publish("beside the probe"))).toBe("unreachable");
    expect(publisher.asked).toEqual(["first", "probe"]);
    publisher.answer(DONE);
    expect(codeOf(await probe)).toBe("published");
    const next = publish("next");
    publisher.answer(DONE);
    expect(codeOf(await next)).toBe("published");
  });

  it("rests anew when the single one fails", async () => {
    const { clock, publisher, publish } = setUp();
    const first = publish("first");
    publisher.answer(AWAY);
    await first;
    clock.advance(REST_MS);
    const probe = publish("probe");
    publisher.answer(AWAY);
    await probe;
    clock.advance(REST_MS - 1);
    expect(codeOf(await publish("too soon"))).toBe("unreachable");
    expect(publisher.asked).toEqual(["first", "probe"]);
  });

  it("goes on after a refusal that has nothing to do with reaching Redis", async () => {
    const { publisher, publish } = setUp();
    const refused = publish("refused");
    publisher.answer({ published: false, code: "log_restoring", message: "" });
    expect(codeOf(await refused)).toBe("log_restoring");
    const next = publish("next");
    publisher.answer(DONE);
    expect(codeOf(await next)).toBe("published");
  });

  it("turns away whoever would make the queue longer than it may be", async () => {
    const { publisher, publish } = setUp();
    const all = Array.from({ length: 32 + 4096 }, (_, i) => publish(String(i)));
    expect(codeOf(await publish("one too many"))).toBe("overloaded");
    publisher.answer(AWAY);
    await Promise.all(all);
  });
});
