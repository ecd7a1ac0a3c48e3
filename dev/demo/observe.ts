/** What the steps of the demo look at, and what they say when it is not as told. */
import { setTimeout as delay } from "node:timers/promises";

import { describeAnswer } from "../client.js";
import type { Answer, AskOptions, Client } from "../client.js";
import { NotAsTold } from "./account.js";
import type { Pod } from "./demo-deployment.js";

/** An ordinary path of the API: every request needs a good token. */
export const PATH = "/things";
/** Pause between two requests of one watcher; it bounds how finely times are read. */
const WATCH_PAUSE_MS = 2;
/** How long a refusal is waited for; the promise is one second. */
const REFUSAL_TIMEOUT_MS = 3_000;

/** Asks every pod and wants this answer from each ("200", "401 session_revoked"). */
export async function expectEverywhere(
  pods: readonly Pick<Pod, "name" | "client">[],
  options: AskOptions,
  expected: string,
): Promise<Answer[]> {
  return Promise.all(
    pods.map(async (pod) => expectAnswer(pod, await pod.client.get(PATH, options), expected)),
  );
}

export function expectAnswer(pod: Pick<Pod, "name">, answer: Answer, expected: string): Answer {
  const seen = describeAnswer(answer);
  if (seen !== expected) throw new NotAsTold(`${pod.name} answered ${seen}, not ${expected}`);
  return answer;
}

/**
 * Asks one pod again and again until it refuses, and returns the moment of the first refusal.
 * Nothing but passing is in order before that.
 */
export async function firstRefusal(
  pod: Pick<Pod, "name" | "client">,
  token: string,
  refusal: string,
): Promise<number> {
  const deadline = performance.now() + REFUSAL_TIMEOUT_MS;
  for (;;) {
    const answer = await pod.client.get(PATH, { token });
    const seen = describeAnswer(answer);
    if (seen === refusal) return answer.atMs;
    if (seen !== "200") throw new NotAsTold(`${pod.name} answered ${seen}, not ${refusal}`);
    if (performance.now() > deadline) {
      throw new NotAsTold(`${pod.name} still lets it pass after ${REFUSAL_TIMEOUT_MS} ms`);
    }
    await delay(WATCH_PAUSE_MS);
  }
}

/** Requests that go on in the background until they are ended, with what was answered. */
export class Traffic {
  readonly #answers = new Map<string, number>();
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  constructor(client: Client, token: string) {
    this.#running = this.#run(client, token);
    // Whoever ends it gets the error; until then it has nowhere to go.
    this.#running.catch(() => undefined);
  }

  /** Ends it and returns how often each answer came. */
  async end(): Promise<ReadonlyMap<string, number>> {
    this.#over.abort();
    await this.#running;
    return this.#answers;
  }

  async #run(client: Client, token: string): Promise<void> {
    while (!this.#over.signal.aborted) {
      const seen = describeAnswer(await client.get(PATH, { token }));
      this.#answers.set(seen, (this.#answers.get(seen) ?? 0) + 1);
      await delay(WATCH_PAUSE_MS);
    }
  }
}

/** Wants only these answers, and at least one of them; returns how many there were. */
export function expectOnly(
  whose: string,
  answers: ReadonlyMap<string, number>,
  expected: readonly string[],
): number {
  const all = [...answers];
  const others = all.filter(([seen]) => !expected.includes(seen));
  const total = all.reduce((sum, [, count]) => sum + count, 0);
  if (others.length > 0 || total === 0) {
    const seen = all.map(([answer, count]) => `${count} × ${answer}`).join(", ") || "no answer";
    throw new NotAsTold(`${whose}: ${seen}, where only ${expected.join(" or ")} was to come`);
  }
  return total;
}
