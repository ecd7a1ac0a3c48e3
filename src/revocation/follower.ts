/**
 * The follower keeps this node's local state in step with the revocation log, and knows how long ago
 * it last proved that it is.
 *
 *   connecting ──► examining ──► paging ──► following ──► closed
 *       ▲              │            │           │
 *       └──────────────┴────────────┴───────────┘  anything out of order
 *
 * - connecting: a new connection for every attempt, after a growing delay.
 * - examining: is this a log that can be followed? If not, say why and try again. If only the
 *   connection was lost (same server process, same log), the entries that were delivered and never
 *   acknowledged are read first, and paging is left out.
 * - paging: the whole log is read to its end and must be without a gap; *then* the group is made at
 *   the last ID read, so that nothing can fall between paging and following.
 * - following: read, apply, judge, acknowledge. A read that returned everything there was proves
 *   freshness as of the moment at which it was *sent*.
 *
 * Falling back never forgets a revocation and never counts as a proof. Staleness grows by itself
 * meanwhile, and the staleness policy answers once it passes the limit.
 */
import { setTimeout as delay } from "node:timers/promises";
import { elapsedAtLeastMs, momentOf } from "../clock/clock.js";
import { LogConversation, OutOfStep } from "./log-conversation.js";
import type { FollowerMemory, FollowerState, Freshness } from "./follower-memory.js";
import type { FollowerSettings } from "./log-conversation.js";
import type { LogProblem } from "./log-order.js";
import { RevocationLogError, type LogConnection, type RevocationLog } from "./revocation-log.js";

const RETRY_DELAY_MIN_MS = 50;
const RETRY_DELAY_MAX_MS = 500;
/** The exponent at which the delay has long reached its maximum. */
const FAILURES_COUNTED_MAX = 8;

export interface FollowerOptions extends FollowerSettings {
  readonly log: RevocationLog;
  /** 0 ≤ n < 1, for the jitter of delays. */
  readonly random: () => number;
}

export interface FollowerStatus {
  readonly state: FollowerState;
  readonly group: string | undefined;
  readonly generation: string | undefined;
  readonly seq: number | undefined;
  readonly problem: LogProblem | undefined;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #memory: FollowerMemory;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #problem: LogProblem | undefined;
  #failures = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#memory = {
      state: "connecting",
      freshness: { provenAt: undefined, coversFromMs: 0 },
      applied: undefined,
      resync: { cause: "start", why: "this node has just started" },
      joined: undefined,
      lastGroup: undefined,
      groupsMade: 0,
      reportedAtMs: -Infinity,
      cleanedAtMs: options.clock.monotonicMs(),
    };
  }

  /** Begins to follow; returns at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  get freshness(): Freshness {
    return this.#memory.freshness;
  }

  /** Milliseconds since the last proof; Infinity before the first one. */
  stalenessMs(): number {
    const { provenAt } = this.#memory.freshness;
    if (provenAt === undefined) return Infinity;
    return elapsedAtLeastMs(provenAt, momentOf(this.#options.clock));
  }

  status(): FollowerStatus {
    const { state, lastGroup: group, applied } = this.#memory;
    const { generation, seq } = applied ?? {};
    return { state, group, generation, seq, problem: this.#problem };
  }

  /** Stops following and removes the node's group and row, if Redis answers within its bounds. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#memory.state = "closed";
  }

  async #run(): Promise<void> {
    let left = false;
    while (!this.#isClosing()) {
      this.#memory.state = "connecting";
      left = await this.#attempt();
      if (!this.#isClosing()) await this.#pause();
    }
    if (!left && this.#memory.lastGroup !== undefined) await this.#attempt();
  }

  async #pause(): Promise<void> {
    const ceilingMs = Math.min(RETRY_DELAY_MAX_MS, RETRY_DELAY_MIN_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, FAILURES_COUNTED_MAX);
    const delayMs = ceilingMs * (0.5 + this.#options.random() / 2);
    const { signal } = this.#closing;
    await delay(delayMs, undefined, { signal }).catch(() => undefined);
  }

  /** One connection, from opening it to closing it. True if the group was removed. Never rejects. */
  async #attempt(): Promise<boolean> {
    let connection: LogConnection | undefined;
    try {
      connection = await this.#options.log.connect();
      if (!this.#isClosing()) this.#report(await this.#follow(connection));
      if (!this.#isClosing()) return false;
      if (this.#memory.lastGroup !== undefined) await connection.leave(this.#memory.lastGroup);
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    } finally {
      connection?.close();
    }
  }

  #follow(connection: LogConnection): Promise<LogProblem | undefined> {
    const { signal } = this.#closing;
    const conversation = new LogConversation(connection, this.#memory, this.#options, signal);
    return conversation.follow(() => {
      this.#failures = 0;
      this.#report(undefined);
    });
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  #failed(error: unknown): void {
    if (this.#isClosing()) return;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof RevocationLogError && error.code === "unavailable") {
      this.#report({ code: "unreachable", message: `Redis cannot be used now: ${message}` });
      return;
    }
    const cause = error instanceof OutOfStep ? error.resyncCause : "unexpected_reply";
    this.#memory.joined = undefined;
    this.#memory.resync = { cause, why: message };
    const advice =
      cause === "gap"
        ? ". If this lasts, entries are lost: restore Redis's data, or run `sekisho log init " +
          "--replace`; tokens issued before that are then refused as stale until they expire"
        : "";
    this.#report({ code: "out_of_step", message: `reading the whole log: ${message}${advice}` });
  }

  #report(problem: LogProblem | undefined): void {
    if (this.#isClosing()) return;
    // Numbers differ from attempt to attempt; what matters is whether it is another trouble.
    const changed = withoutNumbers(this.#problem?.message) !== withoutNumbers(problem?.message);
    this.#problem = problem;
    if (changed) this.#options.observer.problem(problem);
  }
}

function withoutNumbers(message: string | undefined): string | undefined {
  return message?.replace(/[0-9]+/g, "#");
}
