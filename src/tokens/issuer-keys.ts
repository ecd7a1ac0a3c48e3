import { type Clock, elapsedAtLeastMs, type Moment, momentOf } from "../runtime/clock.js";
import type { Issuer } from "./issuer.js";
import type { VerificationKey } from "./json-web-key.js";
import { type KeySet, type ParsedKeySet, parseKeySet } from "./jwks.js";
import { loadKeySet } from "./key-location.js";
import { PeriodicTask } from "../runtime/periodic-task.js";
import type { Schedule } from "../runtime/schedule.js";

/*
 * The keys of one issuer, loaded in the background and never within a request.
 *
 *   state       what current() gives   what happens next
 *   no set      undefined              a load after 1 s, 2 s, 4 s … 30 s, until one is good
 *   set in use  the set                a load every 5 minutes (every 10 s from a file)
 *   too old     undefined              as without a set
 *
 * A good load leads to "set in use" from every state. A failed one changes nothing: a good set stays
 * in use until it is older than `maxAgeMs`, counted from the start of the load that last confirmed
 * it. A set without a usable key is a failed load, so an issuer that serves an empty set by mistake
 * locks no user out, and withdrawing a key means publishing another one.
 *
 * Loads may overlap, because an unknown `kid` starts one too. Each has a number, and a load that
 * ends after a later one was good is dropped.
 */

export const RETRY_FIRST_MS = 1000;
export const RETRY_LAST_MS = 30_000;
export const URL_REFRESH_MS = 300_000;
/** Reading a file is cheap, and a corrected one should be used soon. */
export const FILE_REFRESH_MS = 10_000;
export const UNKNOWN_KID_REFRESH_MIN_MS = 30_000;
/** Delays are shortened by up to this fraction, so that nodes started together drift apart. */
export const JITTER_SHARE = 0.2;

/** `unchanged`: loaded and good, with the same usable keys as before. */
export type RefreshResult = "ok" | "unchanged" | "failed";

/** The set in use. A new generation means other usable keys, never merely another load. */
export interface CurrentKeys {
  readonly generation: number;
  find(kid: string): VerificationKey | undefined;
}

export interface IssuerKeysStatus {
  /** Since the last good load began; undefined before the first one. */
  readonly loadedAgeMs: number | undefined;
  /** How many keys are in use: 0 without a set or with one too old. */
  readonly keys: number;
  /** In one line; undefined after a good load. */
  readonly lastProblem: string | undefined;
}

export interface IssuerKeysOptions {
  readonly clock: Clock;
  /** A set that was last confirmed longer ago than this is not used. */
  readonly maxAgeMs: number;
  /** Called after each load. The detail is a failure's problem, or which keys were skipped. */
  readonly onRefresh?: (result: RefreshResult, detail: string | undefined) => void;
  readonly load?: typeof loadKeySet;
  readonly schedule?: Schedule;
  /** From 0 to 1, for the jitter. */
  readonly random?: () => number;
}

interface Loaded extends CurrentKeys {
  readonly keySet: KeySet;
}

export class IssuerKeys {
  readonly #issuer: Issuer;
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  readonly #onRefresh: NonNullable<IssuerKeysOptions["onRefresh"]>;
  readonly #load: typeof loadKeySet;
  readonly #task: PeriodicTask;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  #loaded: Loaded | undefined;
  #confirmedAt: Moment | undefined;
  #lastProblem: string | undefined;
  /** Numbers of the load begun last, and of the newest one that was good. */
  #loadsBegun = 0;
  #loadAccepted = 0;
  #failuresInARow = 0;
  #unknownKidAtMs = Number.NEGATIVE_INFINITY;

  constructor(issuer: Issuer, options: IssuerKeysOptions) {
    this.#issuer = issuer;
    this.#clock = options.clock;
    this.#maxAgeMs = options.maxAgeMs;
    this.#onRefresh = options.onRefresh ?? (() => undefined);
    this.#load = options.load ?? loadKeySet;
    this.#task = new PeriodicTask(() => this.#refreshPeriodically(), options.schedule);
    this.#random = options.random ?? Math.random;
  }

  /** Resolves after the first load, good or not, and keeps loading until `close`. */
  start(): Promise<void> {
    return this.#task.start();
  }

  /** Ends timers and aborts fetches. The set in use stays in use. */
  close(): void {
    void this.#task.close();
    this.#closing.abort();
  }

  /** The set in use; undefined where there is none yet, or only one older than `maxAgeMs`. */
  current(): CurrentKeys | undefined {
    const ageMs = this.#ageMs();
    return ageMs === undefined || ageMs > this.#maxAgeMs ? undefined : this.#loaded;
  }

  /**
   * A token named a `kid` that the set in use does not have. The key may be new, so this loads the
   * set, but at most once in `UNKNOWN_KID_REFRESH_MIN_MS`: any client can invent a `kid`. Returns at
   * once; that token is denied in any case.
   */
  noteUnknownKid(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#unknownKidAtMs < UNKNOWN_KID_REFRESH_MIN_MS) return;
    if (this.#closing.signal.aborted) return;
    this.#unknownKidAtMs = nowMs;
    void this.#refresh();
  }

  status(): IssuerKeysStatus {
    const keys = this.current() === undefined ? 0 : (this.#loaded?.keySet.keys.size ?? 0);
    return { loadedAgeMs: this.#ageMs(), keys, lastProblem: this.#lastProblem };
  }

  #ageMs(): number | undefined {
    if (this.#confirmedAt === undefined) return undefined;
    return elapsedAtLeastMs(this.#confirmedAt, momentOf(this.#clock));
  }

  async #refreshPeriodically(): Promise<number> {
    await this.#refresh();
    const delayMs = this.current() === undefined ? this.#retryDelayMs() : this.#refreshDelayMs();
    return Math.round(delayMs * (1 - JITTER_SHARE * this.#random()));
  }

  #retryDelayMs(): number {
    const doublings = Math.max(0, this.#failuresInARow - 1);
    return Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** doublings);
  }

  #refreshDelayMs(): number {
    const ordinaryMs = this.#issuer.keyLocation.kind === "file" ? FILE_REFRESH_MS : URL_REFRESH_MS;
    // A maximum age below the ordinary delay would otherwise leave gaps without keys.
    return Math.min(ordinaryMs, Math.max(RETRY_FIRST_MS, this.#maxAgeMs / 2));
  }

  /** Never rejects: a failed load is an outcome too. */
  async #refresh(): Promise<void> {
    this.#loadsBegun += 1;
    const number = this.#loadsBegun;
    const begunAt = momentOf(this.#clock);
    const outcome = await this.#loadAndParse();
    if (this.#closing.signal.aborted || number < this.#loadAccepted) return;
    if (outcome.usable) {
      this.#loadAccepted = number;
      this.#accept(outcome.keySet, begunAt, outcome.warning);
    } else {
      this.#fail(outcome.problem);
    }
  }

  async #loadAndParse(): Promise<ParsedKeySet> {
    const { keyLocation, algorithms } = this.#issuer;
    try {
      const json = await this.#load(keyLocation, this.#closing.signal);
      const parsed = await parseKeySet(json, algorithms);
      return parsed.usable ? parsed : { usable: false, problem: `the key set ${parsed.problem}` };
    } catch (error) {
      const problem = error instanceof Error ? error.message : "the key set could not be loaded";
      return { usable: false, problem };
    }
  }

  #accept(keySet: KeySet, begunAt: Moment, warning: string | undefined): void {
    this.#confirmedAt = begunAt;
    this.#failuresInARow = 0;
    this.#lastProblem = undefined;
    if (this.#loaded?.keySet.fingerprint === keySet.fingerprint) {
      this.#onRefresh("unchanged", warning);
      return;
    }
    const generation = (this.#loaded?.generation ?? 0) + 1;
    this.#loaded = { generation, keySet, find: (kid) => keySet.keys.get(kid) };
    this.#onRefresh("ok", warning);
  }

  #fail(problem: string): void {
    this.#failuresInARow += 1;
    this.#lastProblem = problem;
    this.#onRefresh("failed", problem);
  }
}
