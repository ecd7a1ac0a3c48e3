/**
 * The refreshes of a session as its parties see them: a client, its second tab and a thief, each with
 * what it was given or has stolen, whose answers may be lost. Every history of a few steps is run
 * through the decision, and long ones at random. What is stored between two steps is kept here as
 * `refresh-token-sql.ts` keeps it in the database.
 */
import { strict as assert } from "node:assert";

import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";

import {
  decideRefresh,
  RETRIES_MAX,
  SUCCESSORS_MAX,
  type LiveToken,
} from "../../../../src/sessions/login/refresh-decision.js";

const TIMES = { toleranceMs: 5000, retryMs: 120_000 };
const NEVER_MS = Number.MAX_SAFE_INTEGER;
const CHAINS_MAX = 2;

interface Stored extends LiveToken {
  replacedAtMs: number | undefined;
  successorUsed: boolean;
}

type Given = "rotate" | "sibling" | "retry";

interface Answer {
  readonly kind: Given | "reuse" | "refuse";
  /** The token that is given. */
  readonly generation: number | undefined;
}

class Session {
  readonly tokens: Stored[] = [
    {
      generation: 0,
      predecessor: undefined,
      retries: 0,
      replacedAtMs: undefined,
      successorUsed: false,
    },
  ];
  ended = false;
  nowMs = 1_800_000_000_000;

  get live(): readonly Stored[] {
    return this.tokens.filter(({ replacedAtMs }) => replacedAtMs === undefined);
  }

  refresh(generation: number): Answer {
    const presented = this.at(generation);
    const decision = decideRefresh(
      {
        token: { ...presented, expiresAtMs: NEVER_MS },
        live: this.live,
        userDisabled: false,
        session: { ended: this.ended, idleExpiresAtMs: NEVER_MS, expiresAtMs: NEVER_MS },
      },
      { ...TIMES, nowMs: this.nowMs },
    );
    if (decision.kind === "reuse") this.ended = true;
    if (decision.kind === "reuse" || decision.kind === "refuse") {
      return { kind: decision.kind, generation: undefined };
    }
    for (const dead of decision.dies) this.at(dead).replacedAtMs = this.nowMs;
    if (decision.kind === "rotate" && decision.settles !== undefined) {
      this.at(decision.settles).successorUsed = true;
    }
    const retries = decision.kind === "retry" ? decision.retries : 0;
    const made = this.tokens.length;
    const fresh = { replacedAtMs: undefined, successorUsed: false };
    this.tokens.push({ generation: made, predecessor: generation, retries, ...fresh });
    return { kind: decision.kind, generation: made };
  }

  at(generation: number): Stored {
    const token = this.tokens[generation];
    if (token === undefined) throw new Error(`there is no token ${generation}`);
    return token;
  }
}

/** What is certain of each token from what was answered so far, and from nothing else. */
class Ledger {
  /** Used: tokens that were exchanged as the live ones that they were. */
  readonly used = new Set<number>();
  readonly parents = new Map<number, number>();

  note(presented: number, { kind, generation }: Answer): void {
    if (generation === undefined) return;
    if (kind === "rotate") this.used.add(presented);
    this.parents.set(generation, presented);
  }

  hasUsedSuccessor(generation: number): boolean {
    return [...this.used].some((one) => this.parents.get(one) === generation);
  }
}

/** Bounded whatever happens: live tokens, chains that go on, successors of one token. */
function assertBounded({ live, tokens }: Session): void {
  assert(live.length <= CHAINS_MAX * SUCCESSORS_MAX);
  assert(new Set(live.map(({ predecessor }) => predecessor)).size <= CHAINS_MAX);
  const newest = tokens.at(-1)?.predecessor;
  const successors = tokens.filter(({ predecessor }) => predecessor === newest);
  assert(successors.length <= SUCCESSORS_MAX + RETRIES_MAX);
}

/** A party refreshes with the token that it holds; `lost`: its answer does not arrive. */
const PARTIES = ["client", "tab", "thief"] as const;
type Party = (typeof PARTIES)[number];

interface Step {
  readonly party: Party;
  readonly lost: boolean;
  /** Before it. */
  readonly pauseMs: number;
}

/** All of them begin with the login's token: the tab was duplicated, the thief has a copy. */
function play(steps: readonly Step[]): void {
  const session = new Session();
  const ledger = new Ledger();
  const held: Record<Party, number> = { client: 0, tab: 0, thief: 0 };
  for (const { party, lost, pauseMs } of steps) {
    session.nowMs += pauseMs;
    const presented = held[party];
    const { replacedAtMs } = session.at(presented);
    const mustEnd = ledger.hasUsedSuccessor(presented);
    const wasEnded = session.ended;
    const answer = session.refresh(presented);
    if (wasEnded) {
      assert.equal(answer.kind, "refuse");
      continue;
    }
    if (mustEnd) assert.equal(answer.kind, "reuse");
    // A live token is never refused, and never a theft.
    if (replacedAtMs === undefined) assert.equal(answer.kind, "rotate");
    const usedForMs = session.nowMs - (replacedAtMs ?? session.nowMs);
    if (usedForMs > TIMES.retryMs) assert.equal(answer.kind, "reuse");
    if (usedForMs > TIMES.toleranceMs) assert.notEqual(answer.kind, "sibling");
    ledger.note(presented, answer);
    assertBounded(session);
    if (!lost && answer.generation !== undefined) held[party] = answer.generation;
  }
}

const PAUSES_MS = [1000, 7000, 130_000];
const ALL_STEPS: readonly Step[] = PARTIES.flatMap((party) =>
  [false, true].flatMap((lost) => PAUSES_MS.map((pauseMs) => ({ party, lost, pauseMs }))),
);

describe("a session refreshed by a client, its tab and a thief", () => {
  test("ends when a token is used whose successor was used, in every order of four steps", () => {
    const count = ALL_STEPS.length ** 4;
    let played = 0;
    for (let number = 0; number < count; number += 1) {
      const steps = [0, 1, 2, 3].flatMap((place) => {
        const step = ALL_STEPS[Math.floor(number / ALL_STEPS.length ** place) % ALL_STEPS.length];
        return step === undefined ? [] : [step];
      });
      play(steps);
      played += 1;
    }
    expect(played).toBe(104_976);
  });

  test("does so in long histories, and its state stays bounded", () => {
    const step = fc.record({
      party: fc.constantFrom(...PARTIES),
      lost: fc.boolean(),
      pauseMs: fc.oneof(fc.constantFrom(...PAUSES_MS), fc.integer({ min: 0, max: 10_000 })),
    });
    // Also one who tries again and again, more often than retries are good for.
    const again = fc.integer({ min: 2, max: SUCCESSORS_MAX + 2 * RETRIES_MAX });
    const times = fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, again);
    const runs = fc
      .tuple(step, times)
      .map(([one, count]) => Array.from({ length: count }, () => one));
    const steps = fc.array(runs, { maxLength: 60 }).map((all) => all.flat());
    fc.assert(fc.property(steps, play), { numRuns: 2000 });
  });
});

describe("a token that died", () => {
  test("ends the session whenever it is used, while that is open", () => {
    const pause = fc.constantFrom(...PAUSES_MS.filter((ms) => ms <= TIMES.retryMs));
    // Which of the tokens given so far is used: any of them, dead or alive.
    const steps = fc.array(fc.tuple(fc.nat({ max: 200 }), pause), { maxLength: 40 });
    let [deaths, ends] = [0, 0];
    const once = (all: readonly (readonly [number, number])[]): void => {
      const session = new Session();
      /** Tokens that were live, and had another put in their place unused. */
      const dead = new Set<number>();
      for (const [choice, pauseMs] of all) {
        if (session.ended) return;
        session.nowMs += pauseMs;
        const presented = choice % session.tokens.length;
        const before = new Set(session.live.map(({ generation }) => generation));
        const { kind, generation } = session.refresh(presented);
        if (dead.has(presented)) {
          assert.equal(kind, "reuse");
          ends += 1;
        }
        const after = new Set(session.live.map((one) => one.generation));
        if (generation === undefined) return;
        for (const one of before) if (!after.has(one) && one !== presented) dead.add(one);
        deaths = Math.max(deaths, dead.size);
      }
    };
    fc.assert(fc.property(steps, once), { numRuns: 5000 });
    expect(Math.min(deaths, ends)).toBeGreaterThan(0);
  });
});

describe("an honest client whose answers are lost", () => {
  /** How many answers in a row are lost, and how long it waits between the attempts. */
  const round = fc.record({
    losses: fc.integer({ min: 0, max: RETRIES_MAX }),
    waitMs: fc.integer({ min: 0, max: TIMES.retryMs / RETRIES_MAX }),
    idleMs: fc.integer({ min: 0, max: 86_400_000 }),
  });

  function refreshOnce(
    session: Session,
    held: number,
    { losses, waitMs, idleMs }: { losses: number; waitMs: number; idleMs: number },
  ): number {
    session.nowMs += idleMs;
    for (let attempt = 0; attempt < losses; attempt += 1) {
      assert.notEqual(session.refresh(held).generation, undefined);
      session.nowMs += waitMs;
    }
    const { generation = -1 } = session.refresh(held);
    assertBounded(session);
    return generation;
  }

  test("is never ended, if it tries again within the time for retries", () => {
    const rounds = fc.array(round, { maxLength: 30 });
    const history = (all: readonly Parameters<typeof refreshOnce>[2][]): void => {
      const session = new Session();
      let held = 0;
      for (const one of all) held = refreshOnce(session, held, one);
      assert.equal(session.ended, false);
    };
    fc.assert(fc.property(rounds, history), { numRuns: 2000 });
  });

  test("is never ended when it has two tabs, each with a token of its own", () => {
    const turn = fc.record({ tab: fc.nat({ max: 1 }), how: round });
    const history = (turns: readonly { tab: number; how: Parameters<typeof refreshOnce>[2] }[]) => {
      const session = new Session();
      const held = [session.refresh(0).generation ?? -1, session.refresh(0).generation ?? -1];
      for (const { tab, how } of turns) held[tab] = refreshOnce(session, held[tab] ?? -1, how);
      assert.equal(session.ended, false);
    };
    const turns = fc.array(turn, { maxLength: 30 });
    fc.assert(fc.property(turns, history), { numRuns: 2000 });
  });
});
