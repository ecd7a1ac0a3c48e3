import type { Clock } from "../../runtime/clock.js";
import type { Count, Counters, PointLimit } from "./counters.js";
import type { Limit, LimitSettings } from "./login-limits.js";

/**
 * How many keys each limit remembers, about 15 MB per limit. When a limit on attempts is full, it
 * refuses new keys, because an uncounted attempt would be worse. A limit on acts admits them
 * instead: its callers are logged in, and no revocation may fail because of other users' acts.
 */
export const KEYS_MAX = 100_000;

/** Counters in this process, lost when it ends. They settle at once. */
export class MemoryCounters implements Counters {
  readonly #points: Readonly<Record<PointLimit, PointCounter>>;
  readonly #spread: DistinctCounter;

  constructor(settings: LimitSettings, clock: Clock, keysMax = KEYS_MAX) {
    const points = (limit: Limit, whenFull: WhenFull = "refuse"): PointCounter =>
      new PointCounter(limit, { clock, keysMax, whenFull });
    this.#points = {
      account: points(settings.account),
      address: points(settings.address),
      refresh: points(settings.refresh),
      user_act: points(settings.user_act, "admit"),
      admin_act: points(settings.admin_act, "admit"),
    };
    this.#spread = new DistinctCounter(settings.spread, clock, keysMax);
  }

  async spend(limit: PointLimit, key: string): Promise<Count> {
    return Promise.resolve(this.#points[limit].spend(key));
  }

  async giveBack(limit: PointLimit, key: string): Promise<void> {
    this.#points[limit].giveBack(key);
    return Promise.resolve();
  }

  async occupy(address: string, account: string): Promise<Count> {
    return Promise.resolve(this.#spread.occupy(address, account));
  }

  async vacate(address: string, account: string): Promise<void> {
    this.#spread.vacate(address, account);
    return Promise.resolve();
  }
}

const WITHIN: Count = { within: true };

/** What happens to a new key when the counter is full. */
type WhenFull = "refuse" | "admit";

interface Window {
  points: number;
  readonly endsAtMs: number;
}

/**
 * Fixed windows of equal length: the first key inserted is also the first to expire, so removing
 * expired keys from the front of the map is enough.
 */
class PointCounter {
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #keysMax: number;
  readonly #whenFull: WhenFull;
  readonly #windows = new Map<string, Window>();

  constructor(
    limit: Limit,
    bounds: { readonly clock: Clock; readonly keysMax: number; readonly whenFull: WhenFull },
  ) {
    this.#limit = limit;
    this.#clock = bounds.clock;
    this.#keysMax = bounds.keysMax;
    this.#whenFull = bounds.whenFull;
  }

  spend(key: string): Count {
    const now = this.#clock.monotonicMs();
    const oldestEndsAtMs = this.#forgetEnded(now);
    const window = this.#windows.get(key);
    if (window === undefined) {
      if (oldestEndsAtMs !== undefined && this.#windows.size >= this.#keysMax) {
        if (this.#whenFull === "admit") return WITHIN;
        return { within: false, freeInMs: oldestEndsAtMs - now };
      }
      this.#windows.set(key, { points: 1, endsAtMs: now + this.#limit.windowS * 1000 });
      return WITHIN;
    }
    window.points += 1;
    if (window.points <= this.#limit.max) return WITHIN;
    return { within: false, freeInMs: window.endsAtMs - now };
  }

  giveBack(key: string): void {
    this.#forgetEnded(this.#clock.monotonicMs());
    const window = this.#windows.get(key);
    if (window !== undefined && window.points > 0) window.points -= 1;
  }

  /** When the oldest remaining window ends. */
  #forgetEnded(now: number): number | undefined {
    for (const [key, { endsAtMs }] of this.#windows) {
      if (endsAtMs > now) return endsAtMs;
      this.#windows.delete(key);
    }
    return undefined;
  }
}

interface Tried {
  /** When each account was last tried, oldest first. */
  readonly accounts: Map<string, number>;
  lastMs: number;
}

/** The accounts that each address tried within the last window. */
class DistinctCounter {
  readonly #limit: Limit;
  readonly #clock: Clock;
  readonly #pairsMax: number;
  /** In order of `lastMs`, except for addresses whose last attempt was taken back. */
  readonly #addresses = new Map<string, Tried>();
  #pairs = 0;

  constructor(limit: Limit, clock: Clock, pairsMax: number) {
    this.#limit = limit;
    this.#clock = clock;
    this.#pairsMax = pairsMax;
  }

  occupy(address: string, account: string): Count {
    const now = this.#clock.monotonicMs();
    this.#forgetAddresses(now);
    const tried: Tried = this.#addresses.get(address) ?? { accounts: new Map(), lastMs: now };
    this.#forgetAccounts(tried.accounts, now);
    if (!tried.accounts.has(account)) {
      if (tried.accounts.size >= this.#limit.max || this.#pairs >= this.#pairsMax) {
        const [oldestMs = now] = tried.accounts.values();
        return { within: false, freeInMs: this.#endsAtMs(oldestMs) - now };
      }
      this.#pairs += 1;
    }
    tried.accounts.delete(account);
    tried.accounts.set(account, now);
    tried.lastMs = now;
    this.#addresses.delete(address);
    this.#addresses.set(address, tried);
    return WITHIN;
  }

  vacate(address: string, account: string): void {
    const tried = this.#addresses.get(address);
    if (tried?.accounts.delete(account) !== true) return;
    this.#pairs -= 1;
    if (tried.accounts.size === 0) this.#addresses.delete(address);
  }

  #forgetAddresses(now: number): void {
    for (const [address, { accounts, lastMs }] of this.#addresses) {
      if (this.#endsAtMs(lastMs) > now) return;
      this.#pairs -= accounts.size;
      this.#addresses.delete(address);
    }
  }

  #forgetAccounts(accounts: Map<string, number>, now: number): void {
    for (const [account, atMs] of accounts) {
      if (this.#endsAtMs(atMs) > now) return;
      accounts.delete(account);
      this.#pairs -= 1;
    }
  }

  #endsAtMs(triedAtMs: number): number {
    return triedAtMs + this.#limit.windowS * 1000;
  }
}
