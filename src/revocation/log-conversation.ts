/**
 * One connection's worth of following: examine the log, read it whole (or, after a lost connection,
 * what was delivered and never acknowledged), then follow it until something is out of order.
 *
 * What must outlive the connection stands in `FollowerMemory`.
 */
import { momentOf, type Clock, type Moment } from "../clock/clock.js";
import { entryTimeMs, type LogEntry, type RawEntry } from "./entry.js";
import type { FollowerMemory, Joined } from "./follower-memory.js";
import type { LocalState } from "./local-state-lru.js";
import {
  advance,
  advancePage,
  clocksAgree,
  examineFacts,
  judgeRead,
  wallClockJumped,
} from "./log-order.js";
import type { Advance, LogProblem } from "./log-order.js";
import type { LogRequirements, ResyncCause } from "./log-order.js";
import type { OnStale } from "./on-stale.js";
import { SILENT_AFTER_MS, reportIntervalMs } from "./revocation-log.js";
import type { LogConnection, LogFacts, LogMeta, LogRead, NodeRow } from "./revocation-log.js";

/** Entries read at once: few enough that applying them never holds up a check for long. */
export const READ_MAX_ENTRIES = 64;
const REMOVE_SILENT_INTERVAL_MS = 60_000;

export interface FollowerObserver {
  /** `lagMs`: from publishing to applying; undefined for what was read while paging. */
  applied(entry: LogEntry, lagMs: number | undefined): void;
  /** The whole log is being read. */
  resync(cause: ResyncCause, why: string): void;
  /** What keeps the node from being in sync has changed; undefined: nothing does any more. */
  problem(problem: LogProblem | undefined): void;
}

export interface FollowerSettings {
  readonly state: LocalState;
  readonly clock: Clock;
  /** Unique for this process: `<node>:<boot nonce>`. */
  readonly groupPrefix: string;
  readonly required: LogRequirements;
  readonly maxStalenessMs: number;
  readonly onStale: OnStale;
  readonly observer: FollowerObserver;
}

/** The log is not in order: nothing can be concluded from where this node stood. */
export class OutOfStep extends Error {
  readonly resyncCause: ResyncCause;

  constructor(resyncCause: ResyncCause, why: string) {
    super(why);
    this.name = "OutOfStep";
    this.resyncCause = resyncCause;
  }
}

export class LogConversation {
  readonly #connection: LogConnection;
  readonly #memory: FollowerMemory;
  readonly #settings: FollowerSettings;
  readonly #closing: AbortSignal;

  constructor(
    connection: LogConnection,
    memory: FollowerMemory,
    settings: FollowerSettings,
    closing: AbortSignal,
  ) {
    this.#connection = connection;
    this.#memory = memory;
    this.#settings = settings;
    this.#closing = closing;
  }

  /**
   * Follows the log until `closing`. Returns early with the problem if this is not a log that can
   * be followed. Throws OutOfStep or RevocationLogError. Calls `fresh` with each proof that could
   * be acknowledged.
   */
  async follow(fresh: () => void): Promise<LogProblem | undefined> {
    const memory = this.#memory;
    memory.state = "examining";
    const facts = await this.#connection.facts();
    const examined = examineFacts(facts, this.#settings.required, memory.applied);
    if (!examined.fit) {
      memory.joined = undefined;
      const { code, message } = examined.problem;
      memory.resync ??= { cause: "log_changed", why: `${code}: ${message}` };
      return examined.problem;
    }
    const joined = this.#resumable(facts, examined.meta);
    if (joined === undefined) memory.joined = await this.#pageAndJoin(facts, examined.meta);
    else await this.#readPending(joined, facts.serverMs);
    await this.#readOn(fresh);
    return undefined;
  }

  async #readOn(fresh: () => void): Promise<void> {
    const { joined } = this.#memory;
    this.#memory.state = "following";
    let before = momentOf(this.#settings.clock);
    while (joined !== undefined && !this.#closing.aborted) {
      const read = await this.#connection.read(joined.group, READ_MAX_ENTRIES);
      this.#checkClocks(before, read);
      before = read.receivedAt;
      const proven = this.#take(joined, read);
      await this.#acknowledge(joined, read.entries, read.serverMs);
      if (proven) fresh();
      await this.#removeSilent(joined, read.serverMs);
      this.#settings.state.forgetPassed();
    }
  }

  /** Where to go on, if this is still the same log in the same server process. */
  #resumable(facts: LogFacts, meta: LogMeta): Joined | undefined {
    const { joined } = this.#memory;
    if (joined === undefined) return undefined;
    const known = joined.meta;
    const same =
      joined.serverRunId === facts.serverRunId &&
      known.generation === meta.generation &&
      known.runId === meta.runId &&
      known.authority === meta.authority &&
      known.horizonS === meta.horizonS;
    return same ? joined : undefined;
  }

  /** Reads the whole log, then makes the group at the last ID read. */
  async #pageAndJoin(facts: LogFacts, meta: LogMeta): Promise<Joined> {
    const memory = this.#memory;
    memory.state = "paging";
    memory.joined = undefined;
    const changed = memory.applied !== undefined && memory.applied.generation !== meta.generation;
    const { cause, why } = memory.resync ?? {
      cause: "server_changed",
      why: "Redis was restarted, or the connection leads to another one",
    };
    this.#settings.observer.resync(changed ? "generation_changed" : cause, why);
    const { lastId, seq } = await this.#page(meta);
    memory.applied = { generation: meta.generation, seq };
    memory.groupsMade += 1;
    const group = `${this.#settings.groupPrefix}:${memory.groupsMade}`;
    const previous = memory.lastGroup;
    memory.lastGroup = group;
    await this.#connection.join(group, lastId, this.#row(facts.serverMs), previous);
    memory.resync = undefined;
    return { group, serverRunId: facts.serverRunId, meta };
  }

  async #page(meta: LogMeta): Promise<{ lastId: string; seq: number }> {
    let lastId: string | undefined;
    let seq: number | undefined;
    let full = true;
    while (full) {
      const page = await this.#connection.page(lastId, READ_MAX_ENTRIES);
      if (this.#closing.aborted) throw new OutOfStep("start", "closing");
      const advanced = advancePage(seq, meta.firstSeq, page);
      seq = this.#applyAll(advanced, meta, undefined);
      lastId = page.at(-1)?.id ?? lastId;
      full = page.length >= READ_MAX_ENTRIES;
    }
    if (lastId === undefined || seq === undefined || seq < meta.seq) {
      throw new OutOfStep("gap", `the log ends with entry ${seq ?? 0}, its meta says ${meta.seq}`);
    }
    return { lastId, seq };
  }

  async #readPending(joined: Joined, seenMs: number): Promise<void> {
    while (!this.#closing.aborted) {
      const raw = await this.#connection.readPending(joined.group, READ_MAX_ENTRIES);
      if (raw.length === 0) return;
      this.#advance(joined, raw);
      await this.#acknowledge(joined, raw, seenMs);
    }
  }

  /** Applies what was read; true if that proves that nothing is missing. */
  #take(joined: Joined, read: LogRead): boolean {
    const seqBefore = this.#seq();
    const seqAfter = this.#advance(joined, read.entries);
    const full = read.entries.length >= READ_MAX_ENTRIES;
    const verdict = judgeRead(read, joined.meta, { seqBefore, seqAfter, full });
    if (verdict.kind === "resync") throw new OutOfStep(verdict.cause, verdict.why);
    if (verdict.kind === "more") return false;
    const { coversFromMs } = verdict.meta;
    this.#memory.freshness = { provenAt: read.sentAt, coversFromMs };
    return true;
  }

  #advance(joined: Joined, raw: readonly RawEntry[]): number {
    const { generation } = joined.meta;
    const seq = this.#applyAll(advance(this.#seq(), raw), joined.meta, "live");
    this.#memory.applied = { generation, seq };
    return seq;
  }

  #seq(): number {
    return this.#memory.applied?.seq ?? 0;
  }

  /** Applies every entry first, whatever is missing beside it; then complains about the gap. */
  #applyAll(advanced: Advance, meta: LogMeta, live: "live" | undefined): number {
    for (const entry of advanced.entries) this.#apply(entry, meta, live);
    if (advanced.gap !== undefined) throw new OutOfStep("gap", advanced.gap);
    return advanced.seq;
  }

  #apply(entry: LogEntry, meta: LogMeta, live: "live" | undefined): void {
    const { state, clock, observer } = this.#settings;
    let lagMs: number | undefined;
    // The horizon may have been raised since the entry was written, and with it the time for which
    // a token can outlive its revocation: the later of the two ends counts.
    const horizonEndMs = this.#horizonAfter(entry.id, meta);
    if (entry.kind === "revocation") {
      state.apply(entry.revocation, Math.max(entry.forgetAtMs, horizonEndMs));
      if (live !== undefined) lagMs = Math.max(0, clock.wallMs() - entry.atMs);
    } else if (entry.kind === "unreadable") {
      const { scope } = entry;
      if (scope === undefined) state.doubtEverything(horizonEndMs);
      else state.doubtTenant(scope.tenant, Math.max(scope.forgetAtMs, horizonEndMs));
    }
    observer.applied(entry, lagMs);
  }

  /** When the horizon will have passed an entry. */
  #horizonAfter(id: string, meta: LogMeta): number {
    const writtenMs = entryTimeMs(id) ?? this.#settings.clock.wallMs();
    return writtenMs + meta.horizonS * 1000 + this.#settings.required.skewMs;
  }

  /** Acknowledges entries; without any, writes the node's row when it is due. */
  async #acknowledge(joined: Joined, raw: readonly RawEntry[], seenMs: number): Promise<void> {
    const nowMs = this.#settings.clock.monotonicMs();
    const sinceMs = nowMs - this.#memory.reportedAtMs;
    if (raw.length === 0 && sinceMs < reportIntervalMs(this.#settings.maxStalenessMs)) return;
    const ids = raw.map((entry) => entry.id);
    await this.#connection.acknowledge(joined.group, ids, this.#row(seenMs));
    this.#memory.reportedAtMs = nowMs;
  }

  /** Without a session service, the nodes themselves remove what dead nodes left behind. */
  async #removeSilent(joined: Joined, serverMs: number): Promise<void> {
    if (joined.meta.authority !== "redis") return;
    const nowMs = this.#settings.clock.monotonicMs();
    if (nowMs - this.#memory.cleanedAtMs < REMOVE_SILENT_INTERVAL_MS) return;
    this.#memory.cleanedAtMs = nowMs;
    await this.#connection.removeSilent(serverMs - SILENT_AFTER_MS);
  }

  #checkClocks(before: Moment, read: LogRead): void {
    const { skewMs } = this.#settings.required;
    if (wallClockJumped(before, read.receivedAt, skewMs)) {
      throw new OutOfStep("clock_jumped", "this machine's clock was set, or it was suspended");
    }
    if (!clocksAgree(read, skewMs)) {
      throw new OutOfStep("clock_jumped", "the clocks of Redis and this node drifted apart");
    }
  }

  #row(seenMs: number): NodeRow {
    const { maxStalenessMs, onStale } = this.#settings;
    const { generation = "", seq = 0 } = this.#memory.applied ?? {};
    return { seenMs, generation, seq, maxStalenessMs, onStale };
  }
}
