/**
 * Follows the revocation log: the I/O of the states that `follower-state.ts` describes. Every change
 * of state is an event for `next`; nothing else here outlives a connection but what paces the I/O.
 */
import { elapsedAtLeastMs, momentOf, type Clock, type Moment } from "../../runtime/clock.js";
import { applyEntry } from "./apply-entry.js";
import { groupName, groupsLeft, INITIAL_STATE, joinedIn, next } from "./follower-state.js";
import type { FollowerEvent, Freshness, Phase, Tail } from "./follower-state.js";
import type { RawEntry } from "../../revocation-log/entry.js";
import { CatchUp, PAGE_MAX_ENTRIES, readMaxOf } from "./catch-up.js";
import type { LocalState } from "./local-state.js";
import {
  clocksAgree,
  examineFacts,
  isRestored,
  keptAge,
  wallClockJumped,
} from "./log-examination.js";
import type { LogProblem, LogRequirements } from "./log-examination.js";
import type { FollowerObserver } from "./follower-observer.js";
import { RETRY_DELAY_MIN_MS, RetryPause } from "./retry-pause.js";
import {
  advance,
  advancePage,
  judgeRead,
  OutOfStep,
  quorumWaitMs,
  tooFewReplicas,
} from "./log-order.js";
import type { Advance } from "./log-order.js";
import type { OnStale } from "../../revocation-log/on-stale.js";
import {
  RevocationLogError,
  SILENT_AFTER_MS,
  reportIntervalMs,
} from "../../revocation-log/revocation-log.js";
import type {
  LogConnection,
  LogFacts,
  LogMeta,
  LogRead,
  MetaReply,
  NodeRow,
  RevocationLog,
} from "../../revocation-log/revocation-log.js";

/** How long a read waits for an entry: the beat of a quiet log's proofs of freshness. */
const READ_WAIT_MS = 250;
const REMOVE_SILENT_INTERVAL_MS = 60_000;

/** After a lost connection: Redis may be back any moment. */
const RETRY_DELAY_MAX_MS = 100;
/** Before the server is examined again as well. */
const RESTORE_LOOKS_MAX = 20;
/** For a log that only an operator can fix. */
const UNFIT_DELAY_MAX_MS = 500;

export interface FollowerOptions {
  readonly log: RevocationLog;
  readonly state: LocalState;
  readonly clock: Clock;
  /** Unique for this process: `<node>:<boot nonce>`. */
  readonly groupPrefix: string;
  readonly required: LogRequirements;
  readonly maxStalenessMs: number;
  readonly onStale: OnStale;
  readonly observer: FollowerObserver;
  /** 0 ≤ n < 1, for the jitter of delays. */
  readonly random: () => number;
}

export interface FollowerStatus {
  readonly state: Phase["name"];
  readonly group: string | undefined;
  readonly generation: string | undefined;
  readonly seq: number | undefined;
  readonly problem: LogProblem | undefined;
  /** How many replicas a failover could promote without all revocations; 0: none. */
  readonly unprotectedReplicas: number;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #closing = new AbortController();
  readonly #pause: RetryPause;
  #state = INITIAL_STATE;
  #running: Promise<void> | undefined;
  #problem: LogProblem | undefined;
  #unprotectedReplicas = 0;
  #readMax = readMaxOf({ format: 1 });
  /** The age of the relay's stamp, and when it was read; undefined: the log has no relay. */
  #kept: { readonly ageMs: number; readonly at: Moment } | undefined;
  /** Monotonic milliseconds. */
  #reportedAtMs = -Infinity;
  #removedSilentAtMs: number;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#pause = new RetryPause(this.#closing.signal, options.random);
    this.#removedSilentAtMs = options.clock.monotonicMs();
  }

  /** Begins to follow; returns at once. */
  start(): void {
    this.#running ??= this.#run();
  }

  get freshness(): Freshness {
    return this.#state.freshness;
  }

  /** Milliseconds since the last proof; Infinity before the first one. */
  stalenessMs(): number {
    const { provenAt } = this.#state.freshness;
    return provenAt === undefined ? Infinity : this.#elapsedMs(provenAt);
  }

  /**
   * Milliseconds since the session service last stamped the log; Infinity: never; undefined: Redis
   * itself is the authority, or nothing was read yet.
   */
  keptAgeMs(): number | undefined {
    return this.#kept && this.#kept.ageMs + this.#elapsedMs(this.#kept.at);
  }

  status(): FollowerStatus {
    const { phase, group, applied } = this.#state;
    const { generation, seq } = applied ?? {};
    const unprotectedReplicas = this.#unprotectedReplicas;
    return {
      state: phase.name,
      group,
      generation,
      seq,
      problem: this.#problem,
      unprotectedReplicas,
    };
  }

  /** Stops following and removes the node's group and row, if Redis answers within its bounds. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
    this.#on({ kind: "closed" });
  }

  #on(event: FollowerEvent): void {
    this.#state = next(this.#state, event);
  }

  async #run(): Promise<void> {
    let left = false;
    while (!this.#isClosing()) {
      left = await this.#attempt();
      if (!this.#isClosing()) await this.#pause.wait(this.#retryMaxMs());
    }
    if (!left && this.#state.group !== undefined) await this.#attempt();
  }

  #retryMaxMs(): number {
    return this.#problem === undefined || this.#problem.code === "unreachable"
      ? RETRY_DELAY_MAX_MS
      : UNFIT_DELAY_MAX_MS;
  }

  /** One connection, from opening it to closing it. True if the group was removed. Never rejects. */
  async #attempt(): Promise<boolean> {
    let connection: LogConnection | undefined;
    try {
      connection = await this.#options.log.connect();
      if (!this.#isClosing()) await this.#follow(connection);
      this.#on({ kind: "lost" });
      if (!this.#isClosing()) return false;
      await connection.leave(groupsLeft(this.#options.groupPrefix, this.#state));
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    } finally {
      connection?.close();
    }
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  #failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof RevocationLogError && error.code === "unavailable") {
      this.#on({ kind: "lost" });
      this.#report({ code: "unreachable", message: `Redis cannot be used now: ${message}` });
      return;
    }
    const cause = error instanceof OutOfStep ? error.resyncCause : "unexpected_reply";
    this.#on({ kind: "out_of_step", cause, why: message });
    const advice =
      cause === "gap"
        ? ". If this lasts, entries are lost: restore Redis's data, or run `sekisho log init " +
          "--replace`; tokens issued before that are then refused as stale until they expire"
        : "";
    this.#report({ code: "out_of_step", message: `reading the whole log: ${message}${advice}` });
  }

  #report(problem: LogProblem | undefined): void {
    if (this.#isClosing()) return;
    // Numbers differ from attempt to attempt; only another problem is reported.
    const changed = withoutNumbers(this.#problem?.message) !== withoutNumbers(problem?.message);
    this.#problem = problem;
    if (changed) this.#options.observer.problem(problem);
  }

  /** Until closing, or until the log turns out unfit. Throws OutOfStep or RevocationLogError. */
  async #follow(connection: LogConnection): Promise<void> {
    this.#on({ kind: "connected" });
    const facts = await this.#untilFit(connection);
    if (facts === undefined) return;
    if (this.#state.phase.name === "paging") await this.#pageAndJoin(connection, facts);
    else await this.#readPending(connection, facts);
    const catchUp = new CatchUp();
    // The facts' own meta: what was joined before a lost connection says how far the log went then.
    if (typeof facts.meta !== "string") catchUp.note(facts.meta.seq, facts.sentAt);
    let before = momentOf(this.#options.clock);
    // The first read does not wait: without new entries it is a proof at once.
    for (let waitMs = 0; !this.#isClosing(); waitMs = READ_WAIT_MS) {
      const read = await connection.read(joinedIn(this.#state).group, this.#readMax, waitMs);
      this.#checkClocks(before, read);
      before = read.receivedAt;
      await this.#take(connection, read, catchUp);
    }
  }

  /**
   * The facts of a log that can be followed; undefined: it cannot, and another connection may lead to
   * one that can. Waits here while the session service is about to restore the log.
   */
  async #untilFit(connection: LogConnection): Promise<LogFacts | undefined> {
    for (;;) {
      const facts = await connection.facts();
      const examined = examineFacts(facts, this.#options.required, this.#state.applied);
      if (examined.fit) {
        this.#on({ ...facts, kind: "fit", meta: examined.meta });
        return facts;
      }
      const { problem } = examined;
      this.#on({ kind: "unfit", problem });
      this.#report(problem);
      const awaited = problem.code === "log_restoring" || problem.code === "log_incomplete";
      if (!awaited) return undefined;
      await this.#untilRestored(connection, facts.meta);
      if (this.#isClosing()) return undefined;
    }
  }

  async #untilRestored(connection: LogConnection, meta: MetaReply): Promise<void> {
    for (let looks = 1; looks < RESTORE_LOOKS_MAX; looks += 1) {
      await this.#pause.wait(RETRY_DELAY_MIN_MS);
      if (this.#isClosing() || isRestored(await connection.meta(), meta)) return;
    }
  }

  /** Reads the whole log, unless all but its tail is applied; then makes the group behind that. */
  async #pageAndJoin(connection: LogConnection, { serverMs }: LogFacts): Promise<void> {
    const { phase, groupsMade } = this.#state;
    if (phase.name !== "paging") return;
    const { meta, position, tail } = phase;
    const { observer } = this.#options;
    if (tail === undefined) observer.resync(position.cause, position.why);
    else observer.continued();
    const { lastId, seq } = tail ?? (await this.#page(connection, meta));
    const { groupPrefix } = this.#options;
    const earlier = groupsLeft(groupPrefix, this.#state);
    const group = groupName(groupPrefix, groupsMade + 1);
    this.#on({ kind: "paged", seq, group });
    await connection.join(group, lastId, this.#row(serverMs), earlier);
    this.#on({ kind: "joined" });
  }

  async #page(connection: LogConnection, meta: LogMeta): Promise<Tail> {
    let lastId: string | undefined;
    let seq: number | undefined;
    let full = true;
    while (full) {
      const page = await connection.page(lastId, PAGE_MAX_ENTRIES);
      if (this.#isClosing()) throw new OutOfStep("start", "closing");
      seq = this.#apply(advancePage(seq, meta.firstSeq, page), meta, undefined);
      lastId = page.at(-1)?.id ?? lastId;
      full = page.length >= PAGE_MAX_ENTRIES;
    }
    if (lastId === undefined || seq === undefined || seq < meta.seq) {
      throw new OutOfStep("gap", `the log ends with entry ${seq ?? 0}, its meta says ${meta.seq}`);
    }
    return { lastId, seq };
  }

  async #readPending(connection: LogConnection, { serverMs }: LogFacts): Promise<void> {
    while (!this.#isClosing()) {
      const { group, meta } = joinedIn(this.#state);
      const raw = await connection.readPending(group, this.#readMax);
      if (raw.length === 0) return;
      this.#advance(raw, meta);
      await this.#acknowledge(connection, raw, { serverMs, quorum: 0 });
    }
  }

  /** Applies what was read, judges what it proves, acknowledges it. */
  async #take(connection: LogConnection, read: LogRead, catchUp: CatchUp): Promise<void> {
    const { required, state } = this.#options;
    const { meta } = joinedIn(this.#state);
    const seqBefore = this.#state.applied?.seq ?? 0;
    const seqAfter = this.#advance(read.entries, meta);
    const full = read.entries.length >= this.#readMax;
    const verdict = judgeRead(read, meta, { seqBefore, seqAfter, full }, required);
    if (verdict.kind === "resync") throw new OutOfStep(verdict.cause, verdict.why);
    if (typeof read.meta !== "string") this.#noteMeta(read.meta, read);
    const { serverMs } = read;
    const earlier = catchUp.reached(seqAfter);
    const provenAt = verdict.kind === "fresh" ? read.sentAt : earlier;
    if (verdict.kind === "more") catchUp.note(verdict.meta.seq, read.sentAt);
    if (verdict.kind !== "unproven" && provenAt !== undefined) {
      await this.#prove(connection, read, { ...verdict, sentAt: provenAt });
    } else {
      await this.#acknowledge(connection, read.entries, { serverMs, quorum: 0 });
      if (verdict.kind === "unproven") this.#report(verdict.problem);
    }
    await this.#removeSilent(connection, meta, serverMs);
    state.forgetPassed();
  }

  /**
   * Acknowledges what was read; it proves that everything published before `sentAt` is applied, if a
   * quorum of replicas has that.
   */
  async #prove(
    connection: LogConnection,
    { entries, serverMs, replication }: LogRead,
    { meta, quorum, sentAt }: Pick<LogRead, "sentAt"> & { meta: LogMeta; quorum: number },
  ): Promise<void> {
    const proof = { kind: "proven", sentAt, coversFromMs: meta.coversFromMs } as const;
    if (quorum === 0) this.#on(proof);
    const confirmed = await this.#acknowledge(connection, entries, { serverMs, quorum });
    if (confirmed < quorum) {
      this.#report(tooFewReplicas(confirmed, quorum));
      return;
    }
    if (quorum > 0) this.#on(proof);
    this.#pause.succeeded();
    this.#noteReplicas(quorum === 0 ? (replication.replicas ?? 0) : 0);
    this.#report(undefined);
  }

  #noteMeta(meta: LogMeta, { serverMs, receivedAt }: LogRead): void {
    this.#readMax = readMaxOf(meta);
    const ageMs = keptAge(meta, serverMs);
    this.#kept = ageMs === undefined ? undefined : { ageMs, at: receivedAt };
  }

  #noteReplicas(unprotected: number): void {
    const isNew = unprotected > 0 && this.#unprotectedReplicas === 0;
    this.#unprotectedReplicas = unprotected;
    if (isNew) this.#options.observer.unprotectedFailover(unprotected);
  }

  /**
   * Acknowledges entries and writes the node's row; without entries, when the row is due or a quorum
   * is asked for. Returns how many replicas have it.
   */
  async #acknowledge(
    connection: LogConnection,
    raw: readonly RawEntry[],
    { serverMs, quorum }: { readonly serverMs: number; readonly quorum: number },
  ): Promise<number> {
    const { clock, maxStalenessMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const isDue = nowMs - this.#reportedAtMs >= reportIntervalMs(maxStalenessMs);
    if (raw.length === 0 && !isDue && quorum === 0) return 0;
    const ids = raw.map((entry) => entry.id);
    const { group } = joinedIn(this.#state);
    const confirmed = await connection.acknowledge(
      group,
      ids,
      this.#row(serverMs),
      quorum === 0
        ? undefined
        : { replicas: quorum, waitMs: quorumWaitMs(maxStalenessMs, READ_WAIT_MS) },
    );
    this.#reportedAtMs = nowMs;
    return confirmed;
  }

  #advance(raw: readonly RawEntry[], meta: LogMeta): number {
    const seq = this.#apply(advance(this.#state.applied?.seq ?? 0, raw), meta, "live");
    this.#on({ kind: "advanced", seq });
    return seq;
  }

  /** Applies every entry first, even if others are missing; then throws OutOfStep for a gap. */
  #apply(advanced: Advance, { horizonS }: LogMeta, live: "live" | undefined): number {
    const { state, clock, required, observer } = this.#options;
    const limits = { horizonS, skewMs: required.skewMs };
    for (const entry of advanced.entries) {
      applyEntry(state, entry, limits, clock.wallMs());
      const isLive = live !== undefined && entry.kind === "revocation";
      observer.applied(entry, isLive ? Math.max(0, clock.wallMs() - entry.atMs) : undefined);
    }
    if (advanced.gap !== undefined) throw new OutOfStep("gap", advanced.gap);
    return advanced.seq;
  }

  /** Without a session service, the nodes themselves remove what dead nodes left behind. */
  async #removeSilent(connection: LogConnection, meta: LogMeta, serverMs: number): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    const isDue = nowMs - this.#removedSilentAtMs >= REMOVE_SILENT_INTERVAL_MS;
    if (meta.authority !== "redis" || !isDue) return;
    this.#removedSilentAtMs = nowMs;
    await connection.removeSilent(serverMs - SILENT_AFTER_MS);
  }

  #checkClocks(before: Moment, read: LogRead): void {
    const { skewMs } = this.#options.required;
    if (wallClockJumped(before, read.receivedAt, skewMs)) {
      throw new OutOfStep("clock_jumped", "this machine's clock was set, or it was suspended");
    }
    if (!clocksAgree(read, skewMs)) {
      throw new OutOfStep("clock_jumped", "the clocks of Redis and this node drifted apart");
    }
  }

  #row(seenMs: number): NodeRow {
    const { maxStalenessMs, onStale } = this.#options;
    const { generation = "", seq = 0 } = this.#state.applied ?? {};
    return { seenMs, generation, seq, maxStalenessMs, onStale };
  }

  #elapsedMs(since: Moment): number {
    return elapsedAtLeastMs(since, momentOf(this.#options.clock));
  }
}

function withoutNumbers(message: string | undefined): string | undefined {
  return message?.replace(/[0-9]+/g, "#");
}
