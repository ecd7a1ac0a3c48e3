import type { Clock } from "../clock/clock.js";
import { MemoryCounters } from "./counters-memory.js";
import { countLogin, countRefresh, takeBack } from "./counters.js";
import {
  requireUsableLimits,
  type Admission,
  type LimitSettings,
  type LoginAttempt,
  type LoginLimits,
} from "./login-limits.js";

/** Limits of this process alone: several instances allow several times as much. */
export class MemoryLoginLimits implements LoginLimits {
  readonly #counters: MemoryCounters;

  /** @throws RangeError */
  constructor(settings: LimitSettings, clock: Clock) {
    requireUsableLimits(settings);
    this.#counters = new MemoryCounters(settings, clock);
  }

  async admit(attempt: LoginAttempt): Promise<Admission> {
    return countLogin(this.#counters, attempt);
  }

  async admitRefresh(from: Pick<LoginAttempt, "address">): Promise<Admission> {
    return countRefresh(this.#counters, from.address);
  }

  async succeeded(attempt: LoginAttempt): Promise<void> {
    await takeBack(this.#counters, attempt);
  }

  /** Nothing is open: no timer, no connection. */
  close(): void {
    return undefined;
  }
}
