/** Logins in a closed loop: argon2 decides how many there are, so a fixed rate would say nothing. */
import type { SessionsClient } from "../../dev/sessions-client.js";
import { Argon2PasswordHasher } from "../../src/sessions/passwords/password-hasher-argon2.js";
import { percentilesOf, spreadOf } from "../report/percentile.js";
import type { Spread } from "../report/percentile.js";
import type { SessionResult } from "../report/session-result.js";
import { monotonicMs } from "./monotonic.js";
import type { OpenedSession } from "./session-messages.js";
import { TENANT } from "./sessions-bench-deployment.js";
import type { Person } from "./sessions-bench-deployment.js";

export interface LoggedIn {
  readonly logins: Omit<SessionResult["logins"], "hashMs">;
  /** In the order of `people`. */
  readonly opened: readonly { readonly person: Person; readonly session: OpenedSession }[];
}

/** Logs each of `people` in, so many at a time; the client asserts each answer. */
export async function measureLogins(
  client: SessionsClient,
  people: readonly Person[],
  atOnce: number,
): Promise<LoggedIn> {
  const latenciesMs = new Float64Array(people.length);
  const opened: LoggedIn["opened"][number][] = [];
  const startedMs = monotonicMs();
  let next = 0;
  const logInInTurn = async (): Promise<void> => {
    for (;;) {
      const index = next;
      next += 1;
      const person = people[index];
      if (person === undefined) return;
      const { login, password } = person;
      const sentMs = monotonicMs();
      const tokens = await client.login({ tenant: TENANT, login, password });
      latenciesMs[index] = monotonicMs() - sentMs;
      const { sessionId: session, accessToken, refreshToken } = tokens;
      opened.push({ person, session: { session, accessToken, refreshToken } });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, logInInTurn));
  const perS = (people.length * 1000) / (monotonicMs() - startedMs);
  const latency = percentilesOf(latenciesMs);
  return { logins: { count: people.length, atOnce, perS, latency }, opened };
}

/** One hash after the other in this process, after one that is not counted; milliseconds. */
export async function measureHashes(count: number): Promise<Spread> {
  const hasher = new Argon2PasswordHasher();
  try {
    const timesMs: number[] = [];
    for (let index = 0; index <= count; index += 1) {
      const startedMs = monotonicMs();
      await hasher.hash("correct horse battery staple");
      if (index > 0) timesMs.push(monotonicMs() - startedMs);
    }
    return spreadOf(timesMs);
  } finally {
    await hasher.close();
  }
}
