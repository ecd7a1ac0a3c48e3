/** The demo's checks, which throw an UnexpectedResult. */
import { setTimeout as delay } from "node:timers/promises";

import { describeAnswer } from "../client.js";
import type { Answer, AskOptions, Client } from "../client.js";
import { UnexpectedResult } from "./account.js";
import type { Pod } from "./demo-deployment.js";

/** An ordinary path of the API: every request needs a valid token. */
export const PATH = "/things";
/** Pause between two requests of one watcher: the resolution of the measured times. */
const WATCH_PAUSE_MS = 2;
/** How long to wait for a refusal; the promise is one second. */
const REFUSAL_TIMEOUT_MS = 3_000;

/** Sends a request to every pod and expects this answer ("200", "401 session_revoked"). */
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
  if (seen !== expected)
    throw new UnexpectedResult(`${pod.name} answered ${seen}, not ${expected}`);
  return answer;
}

/**
 * Polls one pod until it refuses, and returns the moment of the first refusal. Before that, only 200
 * is allowed.
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
    if (seen !== "200") throw new UnexpectedResult(`${pod.name} answered ${seen}, not ${refusal}`);
    if (performance.now() > deadline) {
      throw new UnexpectedResult(`${pod.name} still lets it pass after ${REFUSAL_TIMEOUT_MS} ms`);
    }
    await delay(WATCH_PAUSE_MS);
  }
}

/** Requests in the background until `end`, with a count of the answers. */
export class Traffic {
  readonly #answers = new Map<string, number>();
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  constructor(client: Client, token: string) {
    this.#running = this.#run(client, token);
    // `end` rejects with the error; until then it must not count as unhandled.
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

/** Expects only these answers, and at least one of them; returns how many there were. */
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
    throw new UnexpectedResult(`${whose}: ${seen}, but only ${expected.join(" or ")} was expected`);
  }
  return total;
}
