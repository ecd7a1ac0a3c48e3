/** A request that is asked again and again beside a test, and every answer that it got. */
import { setTimeout as delay } from "node:timers/promises";
import { waitFor } from "../../dev/wait-for.js";
import { describeReply, isStandstill, type Ask, type HttpClient, type Reply } from "./e2e-http.js";

/** Pause between two requests of one poller; it bounds how finely moments are seen. */
const PAUSE_MS = 5;
/** How long an answer is waited for before the test fails. */
const WAIT_MS = 30_000;
/** What Envoy answers by itself where there is no answer from the node. */
const UNANSWERED = "503";

export interface Seen {
  /** "200", "401 session_revoked", or "no answer: …", which no test expects. */
  readonly what: string;
  /** By `performance.now()`. */
  readonly sentAtMs: number;
  readonly atMs: number;
}

export class Poller {
  readonly name: string;
  readonly seen: Seen[] = [];
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  /** `ask` may give a new token for each request. */
  constructor(name: string, client: HttpClient, path: string, ask: () => Ask) {
    this.name = name;
    this.#running = this.#run(async () => client.getOnce(path, ask()));
  }

  /** Waits for an answer of this kind to a request that was sent later than `afterMs`. */
  async until(what: string, afterMs: number): Promise<Seen> {
    return waitFor(() => this.seen.find((one) => one.what === what && one.sentAtMs > afterMs), {
      what: `${this.name} to be answered ${what}`,
      timeoutMs: WAIT_MS,
      everyMs: PAUSE_MS,
      failure: (message) => new Error(`${message}; seen: ${this.summary()}`),
    });
  }

  /** The first answer of this kind that arrived after `afterMs`, if there is one. */
  first(what: string, afterMs: number): Seen | undefined {
    return this.seen.find((one) => one.what === what && one.atMs > afterMs);
  }

  /** The different answers to requests that were sent later than `afterMs`, in order of appearance. */
  kinds(afterMs = -Infinity): string[] {
    const later = this.seen.filter((one) => one.sentAtMs > afterMs);
    return [...new Set(later.map((one) => one.what))];
  }

  /**
   * The answers of an undisturbed pod to requests that were sent later than `afterMs`, in the order in
   * which they changed, without those that only say that the machine stood still.
   */
  decided(afterMs = -Infinity): string[] {
    return this.#changes(afterMs, (one) => isStandstill(one.what, one));
  }

  /** The same of a pod that may be stale: only checks that nobody answered in time are left out. */
  answered(afterMs = -Infinity): string[] {
    return this.#changes(afterMs, (one) => one.what === UNANSWERED && isStandstill(one.what, one));
  }

  /** What was answered and how often, in the order in which it changed. */
  summary(): string {
    const runs: { what: string; count: number }[] = [];
    for (const { what } of this.seen) {
      const last = runs.at(-1);
      if (last?.what === what) last.count += 1;
      else runs.push({ what, count: 1 });
    }
    return runs.map(({ what, count }) => `${count} × ${what}`).join(", ");
  }

  #changes(afterMs: number, leftOut: (one: Seen) => boolean): string[] {
    const later = this.seen.filter((one) => one.sentAtMs > afterMs && !leftOut(one));
    return later
      .map(({ what }) => what)
      .filter((what, index, all) => index === 0 || what !== all[index - 1]);
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  async #run(ask: () => Promise<Reply>): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      const sentAtMs = performance.now();
      const what = await ask().then(
        describeReply,
        (error: unknown) => `no answer: ${String(error)}`,
      );
      this.seen.push({ what, sentAtMs, atMs: performance.now() });
      await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
