/**
 * Nothing that a caller does is committed once their revocation was acknowledged, on both databases.
 * Pairs run against each other, each a little later than the pair before. What comes first is seen
 * in the audit trail, whose rows are numbered while the callers' locks are held.
 */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import {
  disableUser,
  enableUser,
  endUserSession,
  revokeAll,
  setPassword,
  unlockUser,
} from "../../src/sessions/admin/user-acts.js";
import { createUser } from "../../src/sessions/admin/users.js";
import type { Caller } from "../../src/sessions/login/caller.js";
import {
  endOwnOtherSessions,
  endOwnSession,
  logout,
} from "../../src/sessions/login/own-sessions.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

/** Each takes a connection or two of the ten. */
const PAIRS_AT_ONCE = 4;

function cameTooLate(outcome: unknown): boolean {
  if (typeof outcome !== "object" || outcome === null || !("kind" in outcome)) return false;
  return outcome.kind === "caller_ended";
}

interface Acting {
  readonly caller: Caller;
  readonly by: { readonly caller: Caller; readonly address: string };
  readonly target: TestUser;
  readonly number: number;
}

describe.each(DATABASES)("on $name", ({ name: database, start }) => {
  /** For each of nine acts; PGlite has one connection, so there is less that could come between. */
  const pairsOfEach = database === "PostgreSQL" ? 24 : 6;
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

  const hasher = { hash: () => Promise.resolve("$argon2id$") };

  /** What each answers when the caller is revoked, and what it does otherwise. */
  const ACTS: Readonly<Record<string, (acting: Acting) => Promise<unknown>>> = {
    revokeAll: ({ by, target }) => revokeAll(service.parts, by, target),
    disableUser: ({ by, target }) => disableUser(service.parts, by, target),
    enableUser: ({ by, target }) => enableUser(service.parts, by, target),
    unlockUser: ({ by, target }) => unlockUser(service.parts, by, target),
    setPassword: ({ by, target }) => setPassword({ ...service.parts, hasher }, by, target),
    createUser: ({ by, target, number }) =>
      createUser({ ...service.parts, hasher }, by, target.tenant, {
        login: `new ${number}`,
        role: "user",
      }),
  };

  /**
   * What came of the act. The first two pairs do not race, so that each end comes up at least once,
   * however quick one side is.
   */
  async function bothDone(
    number: number,
    act: () => Promise<unknown>,
    revoke: () => Promise<unknown>,
  ): Promise<unknown> {
    if (number === 1) {
      await revoke();
      return act();
    }
    const acting = act();
    if (number === 0) await acting;
    await revoke();
    return acting;
  }

  /** How the two ended; the numbers of the rows say which of them was first. */
  async function race(
    { caller, target, number }: Acting,
    act: () => Promise<unknown>,
    revoke: () => Promise<unknown>,
  ): Promise<"act first" | "revocation first"> {
    const done = await bothDone(number, act, revoke);
    const actor = `user:${encodeURIComponent(caller.tenant)}/${encodeURIComponent(caller.user)}`;
    const acts = (await service.auditOf(target.tenant)).filter(
      (row) => row.actor === actor && row.kind !== "login",
    );
    const ending = (await service.auditOf(caller.tenant)).find(
      (row) =>
        row.userId === caller.user &&
        row.actor !== actor &&
        ["user_revoked", "user_disabled", "session_revoked"].includes(row.kind),
    );
    if (ending === undefined) {
      // The caller has ended this session before: ending it once more writes nothing.
      expect(acts).toMatchObject([{ sessionId: caller.session }]);
      expect(cameTooLate(done)).toBe(false);
      return "act first";
    }
    if (cameTooLate(done)) {
      expect(acts).toEqual([]);
      return "revocation first";
    }
    expect(acts).toHaveLength(1);
    expect(acts[0]?.auditId).toBeLessThan(ending.auditId);
    return "act first";
  }

  async function inPairs(
    acts: readonly string[],
    one: (number: number, name: string) => Promise<"act first" | "revocation first">,
  ): Promise<void> {
    const ends = new Set<string>();
    const pairs = acts.flatMap((name) => Array.from({ length: pairsOfEach }, () => name));
    for (let from = 0; from < pairs.length; from += PAIRS_AT_ONCE) {
      const group = pairs.slice(from, from + PAIRS_AT_ONCE);
      const ended = await Promise.all(group.map((name, index) => one(from + index, name)));
      for (const end of ended) ends.add(end);
    }
    expect([...ends].sort()).toEqual(["act first", "revocation first"]);
  }

  /** The revocations that end a caller. */
  const REVOCATIONS = [
    (of: Caller) => revokeAll(service.parts, service.administrator, of),
    (of: Caller) => disableUser(service.parts, service.administrator, of),
    (of: Caller) => endUserSession(service.parts, service.administrator, of),
  ] as const;

  test("what an administrator does is done before they are revoked, or not at all", async () => {
    const tenants = [await service.addTenant(), await service.addTenant()];
    await inPairs(Object.keys(ACTS), async (number, name) => {
      const act = ACTS[name];
      const revoke = REVOCATIONS[number % REVOCATIONS.length];
      if (act === undefined || revoke === undefined) throw new Error("there is no such act");
      // In the same tenant, or from another one as operators act; in either order of the locks.
      const [one = "", other = ""] = number % 4 < 2 ? tenants : tenants.toReversed();
      const admin = await service.addUser({ tenant: one });
      const target = await service.addUser({ tenant: number % 2 === 0 ? one : other });
      const caller = await service.callerOf(await service.open(admin));
      const acting = { caller, by: { caller, address: ADDRESS }, target, number };
      return race(
        acting,
        async () => {
          await service.takeSteps(number % 3);
          return act(acting);
        },
        async () => {
          await service.takeSteps(number % 5);
          return revoke(caller);
        },
      );
    });
  });

  /** What people do to their own sessions, of which the last one named is another one. */
  const OWN_ACTS: Readonly<Record<string, (caller: Caller, other: string) => Promise<unknown>>> = {
    endOwnSession: (caller, other) => endOwnSession(service.parts, caller, other, ADDRESS),
    endOwnOtherSessions: (caller) => endOwnOtherSessions(service.parts, caller, ADDRESS),
    logout: (caller) => logout(service.parts, caller, ADDRESS),
  };

  test("so is what people do to their own sessions", async () => {
    const tenant = await service.addTenant();
    await inPairs(Object.keys(OWN_ACTS), async (number, name) => {
      const act = OWN_ACTS[name];
      const revoke = REVOCATIONS[number % REVOCATIONS.length];
      if (act === undefined || revoke === undefined) throw new Error("there is no such act");
      const target = await service.addUser({ tenant });
      const { sessionId: other } = await service.open(target);
      const caller = await service.callerOf(await service.open(target));
      const acting = { caller, by: { caller, address: ADDRESS }, target, number };
      return race(
        acting,
        async () => {
          await service.takeSteps(number % 3);
          return act(caller, other);
        },
        async () => {
          await service.takeSteps(number % 5);
          return revoke(caller);
        },
      );
    });
  });

  test("administrators who revoke each other at once do not wait for each other for ever", async () => {
    const tenant = await service.addTenant();
    for (let round = 0; round < 8; round += 1) {
      const admins = [
        await service.addUser({ tenant, role: "tenant_admin" }),
        await service.addUser({ tenant, role: "tenant_admin" }),
      ];
      const callers = await Promise.all(
        admins.map(async (admin) => service.callerOf(await service.open(admin))),
      );
      const [one, other] = callers;
      if (one === undefined || other === undefined) throw new Error("two were made");
      const kinds = await Promise.all([
        revokeAll(service.parts, { caller: one, address: ADDRESS }, other),
        revokeAll(service.parts, { caller: other, address: ADDRESS }, one),
        // Oneself, which takes the same row twice.
        revokeAll(service.parts, { caller: one, address: ADDRESS }, one),
      ]);
      expect(kinds.map((outcome) => outcome?.kind)).toContain("done");
      expect(kinds.map((outcome) => outcome?.kind)).toContain("caller_ended");
    }
  });

  test("operators who disable each other in a circle leave one who was not in time", async () => {
    const circle: Caller[] = [];
    for (let count = 0; count < 5; count += 1) {
      const operator = await service.addUser({ tenant: "sekisho", role: "operator" });
      circle.push(await service.callerOf(await service.open(operator)));
    }
    const outcomes = await Promise.all(
      circle.map((caller, index) => {
        const next = circle[(index + 1) % circle.length];
        if (next === undefined) throw new Error("a circle has no end");
        return disableUser(service.parts, { caller, address: ADDRESS }, next);
      }),
    );
    const kinds = outcomes.map((outcome) => outcome?.kind);
    expect(kinds).toContain("done");
    expect(kinds).toContain("caller_ended");
    // Each of those who were disabled did nothing afterwards.
    const done = (await service.auditOf("sekisho")).filter(({ kind }) => kind === "user_disabled");
    const gone = new Set<string | null>();
    for (const { actor, userId } of done) {
      expect(gone).not.toContain(decodeURIComponent(actor.replace("user:sekisho/", "")));
      gone.add(userId);
    }
  });

  test("a caller who never stops acting is revoked all the same", async () => {
    const tenant = await service.addTenant();
    const caller = await service.callerOf(await service.open(await service.addUser({ tenant })));
    const targets = await Promise.all(Array.from({ length: 6 }, () => service.addUser({ tenant })));
    let acts = 0;
    const hammer = async (target: TestUser): Promise<void> => {
      for (;;) {
        const outcome = await unlockUser(service.parts, { caller, address: ADDRESS }, target);
        if (typeof outcome !== "boolean") return;
        acts += 1;
      }
    };
    const hammering = targets.map(hammer);
    while (acts < 30) await service.takeSteps(1);
    await revokeAll(service.parts, service.administrator, caller);
    const done = acts;
    await Promise.all(hammering);
    // Those that were committed before, and had not said so yet.
    expect(acts - done).toBeLessThanOrEqual(targets.length);
  });
});
