/**
 * No login and no refresh slips past a revocation or another refresh, on both databases. Pairs run against each other,
 * each a little later than the pair before, so that every interleaving comes up. Afterwards a token
 * that was handed out is either good, or its revocation is committed: never neither.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import { disableUser, endUserSession, revokeAll } from "../../src/sessions/admin/user-acts.js";
import { callerOf } from "../../src/sessions/login/caller.js";
import type { IssuedTokens } from "../../src/sessions/login/issued-tokens.js";
import { login } from "../../src/sessions/login/login.js";
import { refresh, type RefreshOutcome } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase, type TestedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

/** Of refreshes with each other there are more, because they cost less. */
interface Pairs {
  readonly ofActs: number;
  readonly ofRefreshes: number;
}
const PAIRS: Readonly<Record<TestedDatabase["name"], Pairs>> = {
  // One connection: a step is always as long, so the distances below (12 and 9) come up twice or more.
  PGlite: { ofActs: 24, ofRefreshes: 28 },
  PostgreSQL: { ofActs: 76, ofRefreshes: 100 },
};
/** Each takes a connection or two of the ten. */
const PAIRS_AT_ONCE = 4;

interface Pair {
  readonly number: number;
  readonly user: TestUser;
  /** What was open before. */
  readonly tokens: IssuedTokens;
}

interface Seen {
  readonly tokens: IssuedTokens | undefined;
  readonly refused: string | undefined;
}

describe.each(DATABASES)("on $name", ({ name, start }) => {
  const pairs = PAIRS[name];
  let started: StartedDatabase;
  let service: InProcessSessions;
  beforeAll(async () => {
    started = await start();
    service = new InProcessSessions(started.database);
  });
  afterAll(async () => {
    await service.close();
    await started.stop();
  });

  const logIn = async ({ user }: Pair, decides: () => void): Promise<Seen> => {
    const verify = async (hash: string | undefined, password: string) => {
      const isRight = await service.hasher.verify(hash, password);
      decides();
      return isRight;
    };
    const hasher = { verify, needsRehash: () => false, hash: () => Promise.reject(new Error()) };
    const outcome = await login({ ...service.parts, hasher }, service.requestOf(user));
    return outcome.kind === "opened"
      ? { tokens: outcome.tokens, refused: undefined }
      : { tokens: undefined, refused: outcome.kind === "refused" ? outcome.code : outcome.limit };
  };

  const refreshOnce = async ({ tokens, number }: Pair, decides: () => void): Promise<Seen> => {
    decides();
    await service.takeSteps(number % 3);
    const outcome = await service.refresh(tokens.refreshToken);
    return outcome.kind === "rotated"
      ? { tokens: outcome.tokens, refused: undefined }
      : { tokens: undefined, refused: outcome.kind === "refused" ? outcome.code : "limited" };
  };

  /**
   * Runs both for many users, and looks at each pair when both are done. `take` says when it comes
   * to the transaction that decides: the revocation begins then, or a few steps later. Two of them do
   * not race, one each way round, so that both ends come up on any machine.
   */
  async function race(
    take: (pair: Pair, decides: () => void) => Promise<Seen>,
    revoke: (pair: Pair) => Promise<unknown>,
    look: (pair: Pair, seen: Seen) => Promise<void>,
  ): Promise<void> {
    const tenant = await service.addTenant();
    const both = async (pair: Pair): Promise<Seen> => {
      let decides = (): void => undefined;
      const comesToDecide = new Promise<void>((resolve) => {
        decides = resolve;
      });
      if (pair.number === 0) await revoke(pair);
      const taking = take(pair, decides);
      if (pair.number === 1) await taking;
      const revokeThen = async () => {
        await comesToDecide;
        await service.takeSteps(pair.number % 4);
        await revoke(pair);
      };
      const [seen] = await Promise.all([taking, pair.number === 0 ? undefined : revokeThen()]);
      return seen;
    };
    const one = async (number: number) => {
      const user = await service.addUser({ tenant });
      const pair = { number, user, tokens: await service.open(user) };
      await look(pair, await both(pair));
    };
    for (let from = 0; from < pairs.ofActs; from += PAIRS_AT_ONCE) {
      await Promise.all(Array.from({ length: PAIRS_AT_ONCE }, (_, index) => one(from + index)));
    }
  }

  async function sessionOf(user: TestUser, sessionId: string) {
    const found = (await service.sessionsOf(user)).find((row) => row.sessionId === sessionId);
    if (found === undefined) throw new Error("a token of no session");
    return found;
  }

  /** Open and of the present epoch, or ended and of an epoch that is revoked: never half. */
  async function isWholly(user: TestUser, tokens: IssuedTokens): Promise<"good" | "revoked"> {
    const { epoch } = service.mint.factsOf(tokens.accessToken);
    const { userEpoch } = await service.userRow(user);
    const { endedAt } = await sessionOf(user, tokens.sessionId);
    const isOpen = endedAt === null;
    expect({ isOpen, epoch: epoch === userEpoch }).toEqual({ isOpen, epoch: isOpen });
    const raised = (await service.revocationsOf(user.tenant)).some(
      (row) => row.userId === user.user && (row.epoch ?? 0) > epoch,
    );
    expect(raised).toBe(!isOpen);
    const caller = await callerOf(service.parts, tokens.accessToken);
    expect(caller !== undefined).toBe(isOpen);
    return isOpen ? "good" : "revoked";
  }

  test("a login beside a revoke-all is wholly before it or wholly after it", async () => {
    const ends = new Set<string>();
    await race(
      logIn,
      ({ user }) => revokeAll(service.parts, service.administrator, user),
      async ({ user, tokens: before }, { tokens }) => {
        expect(await isWholly(user, before)).toBe("revoked");
        if (tokens === undefined) throw new Error("nothing forbids this login");
        ends.add(await isWholly(user, tokens));
      },
    );
    expect([...ends].sort()).toEqual(["good", "revoked"]);
  });

  test("a refresh beside a revoke-all gives nothing that outlives it", async () => {
    const ends = new Set<string>();
    await race(
      refreshOnce,
      ({ user }) => revokeAll(service.parts, service.administrator, user),
      async ({ user }, { tokens, refused }) => {
        ends.add(refused ?? "rotated");
        if (tokens === undefined) return;
        expect(await isWholly(user, tokens)).toBe("revoked");
        expect((await service.refresh(tokens.refreshToken)).kind).toBe("refused");
      },
    );
    expect([...ends].sort()).toEqual(["rotated", "session_ended"]);
  });

  test("a refresh beside the end of its session gives nothing that outlives it", async () => {
    const ends = new Set<string>();
    await race(
      refreshOnce,
      ({ user, tokens: { sessionId: session } }) =>
        endUserSession(service.parts, service.administrator, { ...user, session }),
      async ({ user, tokens: before }, { tokens, refused }) => {
        ends.add(refused ?? "rotated");
        expect((await sessionOf(user, before.sessionId)).endedAt).not.toBeNull();
        if (tokens === undefined) return;
        expect(tokens.sessionId).toBe(before.sessionId);
        expect(await callerOf(service.parts, tokens.accessToken)).toBeUndefined();
        const next = await service.refresh(tokens.refreshToken);
        expect(next).toEqual({ kind: "refused", code: "session_ended" });
      },
    );
    expect([...ends].sort()).toEqual(["rotated", "session_ended"]);
  });

  test("a login beside a disabling is refused, or its session ended", async () => {
    const ends = new Set<string>();
    await race(
      logIn,
      ({ user }) => disableUser(service.parts, service.administrator, user),
      async ({ user }, { tokens, refused }) => {
        ends.add(refused ?? "opened");
        const open = (await service.sessionsOf(user)).filter(({ endedAt }) => endedAt === null);
        expect(open).toEqual([]);
        if (tokens !== undefined) expect(await isWholly(user, tokens)).toBe("revoked");
      },
    );
    expect([...ends].sort()).toEqual(["account_disabled", "opened"]);
  });

  /** Runs `one` for hundreds of users, a few at a time, each with the tokens of their login. */
  async function inHundreds(one: (pair: Pair) => Promise<void>): Promise<void> {
    const tenant = await service.addTenant();
    for (let from = 0; from < pairs.ofRefreshes; from += PAIRS_AT_ONCE) {
      const loggedIn = Array.from({ length: PAIRS_AT_ONCE }, async (_, index) => {
        const user = await service.addUser({ tenant });
        return { number: from + index, user, tokens: await service.open(user) };
      });
      await Promise.all((await Promise.all(loggedIn)).map(one));
    }
  }

  /** Both refresh, one a few steps before the other. The first two pairs do not race. */
  async function refreshBoth(
    number: number,
    [one, other]: readonly [IssuedTokens, IssuedTokens],
    toleranceMs = service.parts.options.refreshToleranceMs,
  ): Promise<readonly [RefreshOutcome, RefreshOutcome]> {
    const options = { ...service.parts.options, refreshToleranceMs: toleranceMs };
    const use = async ({ refreshToken }: IssuedTokens, steps: number) => {
      await service.takeSteps(steps);
      return refresh({ ...service.parts, options }, { refreshToken, address: ADDRESS });
    };
    if (number === 0) return [await use(one, 0), await use(other, 0)];
    const second = use(other, Math.floor(number / 3) % 3);
    if (number === 1) await second;
    return Promise.all([use(one, number % 3), second]);
  }

  test("a client and a thief with the token before end the session, whoever comes first", async () => {
    const ends = new Set<string>();
    await inHundreds(async ({ number, user, tokens: stolen }) => {
      const owned = await service.rotate(stolen.refreshToken);
      const [client, thief] = await refreshBoth(number, [owned, stolen], 0);
      ends.add(`client ${client.kind}, thief ${thief.kind}`);
      const refused = [client, thief].find(({ kind }) => kind === "refused");
      expect(refused).toEqual({ kind: "refused", code: "refresh_token_reused" });
      const { endedBy } = await sessionOf(user, owned.sessionId);
      expect(endedBy).toBe("refresh_token_reused");
    });
    expect([...ends].sort()).toEqual([
      "client refused, thief rotated",
      "client rotated, thief refused",
    ]);
  });

  test("two tabs that race with one token go on, each by itself", async () => {
    await inHundreds(async ({ number, tokens }) => {
      const tabs = await refreshBoth(number, [tokens, tokens]);
      const [one, other] = tabs.map((tab) => (tab.kind === "rotated" ? tab.tokens : undefined));
      if (one === undefined || other === undefined) throw new Error(JSON.stringify(tabs));
      const next = await refreshBoth(number, [one, other]);
      expect(next.map(({ kind }) => kind)).toEqual(["rotated", "rotated"]);
    });
  });
});
