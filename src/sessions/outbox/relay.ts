/**
 * The relay: publishes what no request has published, restores a log that lost something, imports
 * what was published past the service.
 *
 * One at a time over all instances. Each instance tries every half second to take the lock, which
 * PostgreSQL releases when its holder's connection ends, so that another instance takes over soon
 * after a SIGKILL. The holder confirms about as often that it still has the lock.
 *
 *   waiting ─► relaying ─► (lock lost) ─► waiting
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../../runtime/clock.js";
import { DatabaseError, type Database, type HeldLock } from "../database/database.js";
import { RevocationLogError } from "../../revocation-log/revocation-log.js";
import type { LogAdmin } from "../../revocation-log/log-admin.js";
import { PUBLISH_CLOCK_DIFFERENCE_MAX_MS, type Publisher } from "../../revocation-log/publisher.js";
import { readUnsearchedMs } from "./log-record-sql.js";
import { LogStamp } from "./log-stamp.js";
import { RelayCycle, RelayStopped } from "./relay-cycle.js";
import type { RelayProblem } from "./relay-decision.js";
import type { CycleStatus, RelayObserver } from "./relay-observer.js";
import { countPending, type PendingCount } from "./stored-revocations-sql.js";

const LOCK_POLL_MS = 500;
const LOCK_CONFIRM_MS = 400;
const COUNT_MS = 2000;
/** How often an instance that does not relay checks the log of its own Redis. */
const LOOK_MS = 1000;
/** How often the log is stamped as kept. Nodes call it degraded after 5 s without a stamp. */
const STAMP_MS = 1000;

export interface RelayOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly logAdmin: LogAdmin;
  /** Not the requests' publisher, which may hang. */
  readonly publisher: Publisher;
  readonly horizonS: number;
  /** How many replicas must have an entry before it counts as published. */
  readonly minReplicas: number;
  readonly newId: () => string;
  readonly observer: RelayObserver;
}

export interface RelayStatus extends CycleStatus {
  /** Whether this instance is the relay. */
  readonly relaying: boolean;
  /** Committed and not known to be published, in the whole database; undefined: not known now. */
  readonly pending:
    { readonly count: number; readonly oldestAgeMs: number | undefined } | undefined;
  /** How long ago the log was last searched by any instance; undefined: no log, or not known. */
  readonly unsearchedMs: number | undefined;
}

export class Relay {
  readonly #options: RelayOptions;
  readonly #cycle: RelayCycle;
  readonly #closing = new AbortController();
  #running: Promise<unknown> | undefined;
  #relaying = false;
  #lockProblem: RelayProblem | undefined;
  #pending: PendingCount | undefined;
  #unsearchedMs: number | undefined;

  constructor(options: RelayOptions) {
    const { horizonS, minReplicas } = options;
    this.#options = options;
    const requirements = {
      horizonS,
      minReplicas,
      clockDifferenceMaxMs: PUBLISH_CLOCK_DIFFERENCE_MAX_MS,
    };
    this.#cycle = new RelayCycle({ ...options, requirements });
  }

  start(): void {
    this.#running ??= Promise.all([this.#takeTurns(), this.#keepCounting(), this.#keepLooking()]);
  }

  status(): RelayStatus {
    const { clock } = this.#options;
    const cycle = this.#cycle.status;
    const oldestAtMs = this.#pending?.oldestAtMs;
    return {
      relaying: this.#relaying,
      pending: this.#pending && {
        count: this.#pending.count,
        oldestAgeMs:
          oldestAtMs === undefined ? undefined : Math.max(0, clock.wallMs() - oldestAtMs),
      },
      unsearchedMs: this.#unsearchedMs,
      ...cycle,
      problem: cycle.problem ?? this.#lockProblem,
    };
  }

  /** Stops between two steps and releases the lock. The caller closes publishers and log admins. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }

  async #takeTurns(): Promise<void> {
    const closing = this.#closing.signal;
    while (!closing.aborted) {
      const lock = await this.#tryLock();
      if (lock === undefined) await hasPassed(LOCK_POLL_MS, closing);
      else await this.#relayUnder(lock);
    }
  }

  async #tryLock(): Promise<HeldLock | undefined> {
    try {
      const lock = await this.#options.database.tryLock("relay");
      this.#lockProblem = undefined;
      return lock;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = error instanceof DatabaseError ? "database_unavailable" : "unexpected";
      this.#lockProblem = { code, message };
      return undefined;
    }
  }

  async #relayUnder(lock: HeldLock): Promise<void> {
    const { observer } = this.#options;
    const lost = new AbortController();
    const stop = AbortSignal.any([this.#closing.signal, lost.signal]);
    this.#relaying = true;
    observer.onLock(true);
    try {
      await Promise.all([
        this.#keepConfirming(lock, lost, stop),
        this.#keepRelaying(stop),
        this.#keepStamping(new LogStamp(this.#options), stop),
      ]);
    } finally {
      this.#relaying = false;
      observer.onLock(false);
      await lock.release();
    }
  }

  async #keepConfirming(lock: HeldLock, lost: AbortController, stop: AbortSignal): Promise<void> {
    while (await hasPassed(LOCK_CONFIRM_MS, stop)) {
      if (!(await lock.confirm())) lost.abort();
    }
  }

  async #keepRelaying(stop: AbortSignal): Promise<void> {
    const check = (): void => {
      if (stop.aborted) throw new RelayStopped();
    };
    try {
      while (await hasPassed(await this.#cycle.run(check), stop));
    } catch (error) {
      if (!(error instanceof RelayStopped)) throw error;
    } finally {
      this.#cycle.stopped();
    }
  }

  async #keepLooking(): Promise<void> {
    const isAside = (): boolean => !this.#relaying;
    while (await hasPassed(LOOK_MS, this.#closing.signal)) {
      if (isAside()) await this.#cycle.look(isAside);
    }
  }

  /** Separate from the cycles, which a long pass or a large log may delay. */
  async #keepStamping(stamp: LogStamp, stop: AbortSignal): Promise<void> {
    do {
      try {
        await stamp.renew();
      } catch (error) {
        // The cycles report an unavailable database or Redis.
        if (error instanceof DatabaseError || error instanceof RevocationLogError) continue;
        const message = error instanceof Error ? error.message : String(error);
        this.#options.observer.onProblem({ code: "unexpected", message });
      }
    } while (await hasPassed(STAMP_MS, stop));
  }

  async #keepCounting(): Promise<void> {
    const { database } = this.#options;
    const closing = this.#closing.signal;
    do {
      try {
        await database.transaction({ role: "relay" }, async (queries) => {
          this.#unsearchedMs = await readUnsearchedMs(queries);
          this.#pending = await countPending(queries);
        });
      } catch {
        this.#pending = undefined;
        this.#unsearchedMs = undefined;
      }
    } while (await hasPassed(COUNT_MS, closing));
  }
}

/** False as soon as `stop` is aborted, otherwise true after `ms`. */
async function hasPassed(ms: number, stop: AbortSignal): Promise<boolean> {
  if (stop.aborted) return false;
  return delay(ms, true, { signal: stop }).catch(() => false);
}
