/**
 * A cut-off of a tenant, or of all, ends every session that began before it, and no refresh slips
 * past one, on both databases. Pairs run against each other, each a little later than the pair
 * before, so that every interleaving comes up.
 */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { nextSecond, type Clock } from "../../src/runtime/clock.js";
import { callerOf, isCallerActive } from "../../src/sessions/login/caller.js";
import { lockCutOffs, raiseCutOff } from "../../src/sessions/outbox/cut-offs-sql.js";
import type { IssuedTokens } from "../../src/sessions/login/issued-tokens.js";
import { login } from "../../src/sessions/login/login.js";
import { refresh } from "../../src/sessions/login/refresh.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions, ADDRESS } from "../support/in-process-sessions.js";

/** Each takes two connections of the ten. */
const PAIRS_AT_ONCE = 4;
/** On PGlite, with its one connection, every step takes as long each time. */
const PAIRS = { PGlite: 16, PostgreSQL: 64 };

const ENDED = { kind: "refused", code: "session_ended" };

describe.each(DATABASES)("cut-offs on $name", ({ name, start }) => {
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

  /** A second passes with each look at it, so that the order of any two looks is seen in the times. */
  const ticking: Clock = {
    wallMs: () => {
      service.clock.advance(1000);
      return service.clock.wallMs();
    },
    monotonicMs: () => service.clock.monotonicMs(),
  };
  const parts = () => ({ ...service.parts, clock: ticking });

  /** Cuts off the tenant, or all (undefined), and returns the time from which on tokens are good. */
  const cutOff = (tenant: string | undefined) =>
    service.asTenant(tenant ?? "sekisho", async (queries) => {
      await lockCutOffs(queries);
      const issuedBefore = nextSecond(ticking.wallMs());
      await raiseCutOff(queries, tenant, issuedBefore);
      return issuedBefore;
    });
  const refreshed = ({ refreshToken }: IssuedTokens) =>
    refresh(parts(), { refreshToken, address: ADDRESS });
  const issuedAt = ({ accessToken }: IssuedTokens) => service.mint.factsOf(accessToken).issuedAtS;

  test.each([
    ["its tenant", (tenant: string) => tenant],
    ["all", () => undefined],
  ])("a refresh beside a cut-off of %s gives nothing that outlives it", async (_whose, named) => {
    const ends = new Set<string>();
    const one = async (number: number) => {
      const user = await service.addUser();
      const tokens = await service.open(user);
      const isFirst = number === 0;
      const isLast = number === 1;
      const taking = async () => {
        await service.takeSteps(number % 8);
        return refreshed(tokens);
      };
      const cutting = async () => {
        await service.takeSteps(number % 5);
        return cutOff(named(user.tenant));
      };
      const first = isFirst ? await taking() : undefined;
      const cut = isLast ? await cutting() : undefined;
      const [taken, issuedBefore] = await Promise.all([first ?? taking(), cut ?? cutting()]);
      ends.add(taken.kind === "refused" ? taken.code : taken.kind);
      if (taken.kind === "rotated") {
        expect(issuedAt(taken.tokens)).toBeLessThan(issuedBefore);
        expect(await refreshed(taken.tokens)).toEqual(ENDED);
      }
      expect(await callerOf(parts(), tokens.accessToken)).toBeUndefined();
    };
    for (let from = 0; from < PAIRS[name]; from += PAIRS_AT_ONCE) {
      // A cut-off of all would end the sessions of the other pairs.
      if (named("") === undefined) await one(from / PAIRS_AT_ONCE);
      else await Promise.all(Array.from({ length: PAIRS_AT_ONCE }, (_, i) => one(from + i)));
    }
    expect([...ends].sort()).toEqual(["rotated", "session_ended"]);
  });

  test("a cut-off ends the sessions that began before it, and no caller is admitted", async () => {
    const user = await service.addUser();
    const tokens = await service.open(user);
    const caller = await service.callerOf(tokens);
    expect(await isCallerActive(service.parts, caller)).toBe(true);
    await cutOff(user.tenant);
    expect(await callerOf(service.parts, tokens.accessToken)).toBeUndefined();
    expect(await isCallerActive(service.parts, caller)).toBe(false);
    expect(await refreshed(tokens)).toEqual(ENDED);
  });

  test("sessions of another tenant, and those that begin afterwards, go on", async () => {
    const [cut, other] = [await service.addUser(), await service.addUser()];
    const others = await service.open(other);
    const issuedBefore = await cutOff(cut.tenant);
    expect((await refreshed(others)).kind).toBe("rotated");
    const opened = await login(parts(), service.requestOf(cut));
    if (opened.kind !== "opened") throw new Error(JSON.stringify(opened));
    expect(issuedAt(opened.tokens)).toBeGreaterThanOrEqual(issuedBefore);
    expect((await refreshed(opened.tokens)).kind).toBe("rotated");
    expect(await callerOf(parts(), opened.tokens.accessToken)).toBeDefined();
  });

  test("a cut-off never falls", async () => {
    const user = await service.addUser();
    const tokens = await service.open(user);
    await cutOff(user.tenant);
    await service.asTenant(user.tenant, async (queries) => {
      await lockCutOffs(queries);
      await raiseCutOff(queries, user.tenant, 1);
    });
    expect(await refreshed(tokens)).toEqual(ENDED);
  });

  test("a tenant can neither cut off all nor another tenant", async () => {
    const [one, other] = [await service.addTenant(), await service.addTenant(randomUUID())];
    for (const target of [undefined, other]) {
      const act = service.asTenant(one, (queries) => raiseCutOff(queries, target, 1));
      await expect(act).rejects.toThrow(/row-level security/);
    }
  });
});
