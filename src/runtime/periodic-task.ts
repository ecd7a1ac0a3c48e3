import { systemSchedule, type Schedule } from "./schedule.js";

/**
 * Repeats a run, one at a time. Each run tells how long after it the next one begins (`undefined`:
 * there is no next one), and reports its own errors: a run that rejects is a bug.
 */
export class PeriodicTask {
  readonly #run: () => Promise<number | undefined>;
  readonly #schedule: Schedule;
  #state: "new" | "started" | "closed" = "new";
  #running: Promise<void> = Promise.resolve();
  #cancel: () => void = () => undefined;

  constructor(run: () => Promise<number | undefined>, schedule = systemSchedule) {
    this.#run = run;
    this.#schedule = schedule;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /**
   * Begins the first run at once, or after `delayMs`; later calls and calls after `close` begin none.
   * Settles with the run that is under way.
   */
  start(delayMs?: number): Promise<void> {
    if (this.#state === "new") {
      this.#state = "started";
      if (delayMs === undefined) this.#running = this.#runOnce();
      else this.#plan(delayMs);
    }
    return this.#running;
  }

  /** Begins no other run. Settles with the one that is under way. */
  close(): Promise<void> {
    this.#state = "closed";
    this.#cancel();
    return this.#running;
  }

  async #runOnce(): Promise<void> {
    const delayMs = await this.#run();
    if (delayMs !== undefined && !this.closed) this.#plan(delayMs);
  }

  #plan(delayMs: number): void {
    this.#cancel = this.#schedule(() => {
      this.#running = this.#runOnce();
    }, delayMs);
  }
}
