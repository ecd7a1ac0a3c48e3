import type { Clock } from "../../src/runtime/clock.js";
import { MemoryCounters } from "../../src/sessions/limits/counters-memory.js";
import {
  countAct,
  countLogin,
  countRefresh,
  takeBack,
} from "../../src/sessions/limits/counters.js";
import {
  requireUsableLimits,
  type ActLimitName,
  type Actor,
  type Admission,
  type LimitSettings,
  type LoginAttempt,
  type LoginLimits,
} from "../../src/sessions/limits/login-limits.js";

/** The limits by what the process counts itself, which is what is left when Redis is away. */
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

  async admitAct(limit: ActLimitName, actor: Actor): Promise<Admission> {
    return countAct(this.#counters, limit, actor);
  }

  async succeeded(attempt: LoginAttempt): Promise<void> {
    await takeBack(this.#counters, attempt);
  }

  /** Nothing is open: no timer, no connection. */
  close(): void {
    return undefined;
  }
}
