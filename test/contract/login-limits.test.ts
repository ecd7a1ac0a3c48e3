/** What every way to count the limits must do: in the process, and in a real Redis. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { RedisServer } from "../../dev/redis-server.js";
import { waitFor, waitUntil } from "../../dev/wait-for.js";
import { systemClock } from "../../src/runtime/clock.js";
import { MemoryLoginLimits } from "../support/login-limits-memory.js";
import { RedisLoginLimits } from "../../src/sessions/limits/login-limits-redis.js";
import {
  DEFAULT_LIMITS,
  type Admission,
  type LimitSettings,
  type LoginLimits,
} from "../../src/sessions/limits/login-limits.js";

let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(async () => {
  await server.close();
});

async function inRedis(settings: LimitSettings): Promise<LoginLimits> {
  const limits = new RedisLoginLimits({
    redis: { url: server.url },
    settings,
    onFallback: (reason) => {
      throw new Error(`fell back: ${reason}`);
    },
    onRecovered: () => {
      throw new Error("came back");
    },
    // No test here is about time; a busy machine is not to be mistaken for an absent Redis.
    answerMaxMs: 10_000,
  });
  await waitUntil(() => limits.countsIn === "redis", { what: "Redis", timeoutMs: 30_000 });
  return limits;
}

const inProcess = (settings: LimitSettings): Promise<LoginLimits> =>
  Promise.resolve(new MemoryLoginLimits(settings, systemClock));

const said = (admission: Admission) => (admission.admitted ? "admitted" : admission.limit);

describe.each([
  ["in Redis", inRedis],
  ["in the process", inProcess],
])("limits %s", (_where, open) => {
  /** Accounts and addresses of their own for each test, so that none disturbs another. */
  async function withLimits(
    change: Partial<LimitSettings>,
    use: (subject: ReturnType<typeof subjectOf>) => Promise<void>,
  ): Promise<void> {
    const limits = await open({ ...DEFAULT_LIMITS, ...change });
    try {
      await use(subjectOf(limits));
    } finally {
      limits.close();
    }
  }

  function subjectOf(limits: LoginLimits) {
    const tenant: string = randomUUID();
    const attempt = (login: string, address: string, of = tenant) => ({
      tenant: of,
      login,
      address: `${tenant} ${address}`,
    });
    return {
      limits,
      attempt,
      admit: async (login: string, address: string, of?: string) =>
        said(await limits.admit(attempt(login, address, of))),
    };
  }

  const account = { max: 3, windowS: 60 };

  it("admit as many attempts on an account as they allow, from whatever addresses", async () => {
    await withLimits({ account }, async ({ admit, limits, attempt }) => {
      for (const address of ["1", "2", "3"]) expect(await admit("ana", address)).toBe("admitted");
      const refused = await limits.admit(attempt("ana", "4"));
      if (refused.admitted) throw new Error("admitted");
      expect(refused.limit).toBe("account");
      expect(Number.isInteger(refused.retryAfterS)).toBe(true);
      expect(refused.retryAfterS).toBeGreaterThan(50);
      expect(refused.retryAfterS).toBeLessThanOrEqual(60);
      expect(await admit("bo", "4")).toBe("admitted");
    });
  });

  it("count the same login in two tenants as two accounts", async () => {
    await withLimits({ account: { max: 1, windowS: 60 } }, async ({ admit }) => {
      expect(await admit("ana", "1")).toBe("admitted");
      expect(await admit("ana", "1")).toBe("account");
      expect(await admit("ana", "1", randomUUID())).toBe("admitted");
    });
  });

  it("admit as many attempts from an address as they allow, good ones included", async () => {
    await withLimits({ address: { max: 3, windowS: 60 } }, async ({ admit, limits, attempt }) => {
      for (let i = 0; i < 3; i++) {
        expect(await admit("ana", "1")).toBe("admitted");
        await limits.succeeded(attempt("ana", "1"));
      }
      expect(await admit("ana", "1")).toBe("address");
      expect(await admit("ana", "2")).toBe("admitted");
    });
  });

  it("admit as many distinct accounts from an address as they allow, each repeatedly", async () => {
    await withLimits({ spread: { max: 2, windowS: 600 } }, async ({ admit }) => {
      for (const login of ["a", "b", "a", "b"]) expect(await admit(login, "1")).toBe("admitted");
      expect(await admit("c", "1")).toBe("spread");
      // Refused once, it is refused again: it was not noted as one that may be tried.
      expect(await admit("c", "1")).toBe("spread");
      expect(await admit("a", "1", randomUUID())).toBe("spread");
      expect(await admit("a", "1")).toBe("admitted");
      expect(await admit("c", "2")).toBe("admitted");
    });
  });

  it("use up nothing of an account by attempts that another limit refused", async () => {
    const address = { max: 4, windowS: 60 };
    const spread = { max: 1, windowS: 600 };
    await withLimits({ account, address, spread }, async ({ admit }) => {
      expect(await admit("other", "1")).toBe("admitted");
      for (let i = 0; i < 3; i++) expect(await admit("ana", "1")).toBe("spread");
      for (let i = 0; i < 5; i++) expect(await admit("ana", "1")).toBe("address");
      for (let i = 0; i < 3; i++) expect(await admit("ana", "2")).toBe("admitted");
      expect(await admit("ana", "2")).toBe("account");
    });
  });

  it("do not stop an honest user, however often she logs in", async () => {
    await withLimits({ account }, async ({ admit, limits, attempt }) => {
      for (let i = 0; i < 10; i++) {
        expect(await admit("ana", "1")).toBe("admitted");
        await limits.succeeded(attempt("ana", "1"));
      }
    });
  });

  it("keep counting failures when the honest user succeeds in between", async () => {
    await withLimits({ account }, async ({ admit, limits, attempt }) => {
      expect(await admit("ana", "attacker")).toBe("admitted");
      expect(await admit("ana", "attacker")).toBe("admitted");
      expect(await admit("ana", "home")).toBe("admitted");
      await limits.succeeded(attempt("ana", "home"));
      expect(await admit("ana", "attacker")).toBe("admitted");
      expect(await admit("ana", "attacker")).toBe("account");
    });
  });

  it("admit nothing more for successes that nobody had been admitted for", async () => {
    await withLimits({ account }, async ({ admit, limits, attempt }) => {
      for (let i = 0; i < 5; i++) await limits.succeeded(attempt("ana", "1"));
      for (let i = 0; i < 3; i++) expect(await admit("ana", "1")).toBe("admitted");
      expect(await admit("ana", "1")).toBe("account");
    });
  });

  it("do not stop an office of many users behind one address", async () => {
    const spread = { max: 2, windowS: 600 };
    await withLimits({ spread }, async ({ admit, limits, attempt }) => {
      for (let i = 0; i < 8; i++) {
        expect(await admit(`user-${i}`, "office")).toBe("admitted");
        await limits.succeeded(attempt(`user-${i}`, "office"));
      }
      for (const login of ["a", "b"]) expect(await admit(login, "office")).toBe("admitted");
      expect(await admit("c", "office")).toBe("spread");
    });
  });

  it("count exactly when many come at once", async () => {
    const change = { account: { max: 7, windowS: 60 }, spread: { max: 5, windowS: 600 } };
    await withLimits(change, async ({ admit }) => {
      const onOne = await Promise.all(Array.from({ length: 40 }, () => admit("ana", "1")));
      expect(onOne.filter((one) => one === "admitted")).toHaveLength(7);
      const onMany = await Promise.all(
        Array.from({ length: 40 }, (_, i) => admit(`user-${i % 20}`, "2")),
      );
      const admitted = new Set(onMany.flatMap((one, i) => (one === "admitted" ? [i % 20] : [])));
      expect(admitted.size).toBe(5);
    });
  });

  it("count refreshes from an address apart from logins", async () => {
    const change = { refresh: { max: 2, windowS: 60 }, address: { max: 1, windowS: 60 } };
    await withLimits(change, async ({ admit, limits, attempt }) => {
      const from = attempt("", "1");
      expect(said(await limits.admitRefresh(from))).toBe("admitted");
      expect(said(await limits.admitRefresh(from))).toBe("admitted");
      expect(said(await limits.admitRefresh(from))).toBe("refresh");
      expect(await admit("ana", "1")).toBe("admitted");
      expect(said(await limits.admitRefresh(attempt("", "2")))).toBe("admitted");
    });
  });

  it.each(["user_act", "admin_act"] as const)(
    "admit as many acts of one account as %s allows, apart from every other",
    async (limit) => {
      await withLimits({ [limit]: { max: 2, windowS: 60 } }, async ({ limits, attempt }) => {
        const { tenant } = attempt("", "");
        const act = async (user: string, of = tenant) =>
          said(await limits.admitAct(limit, { tenant: of, user }));
        expect([await act("ana"), await act("ana"), await act("ana")]).toEqual([
          ...["admitted", "admitted", limit],
        ]);
        expect([await act("bo"), await act("ana", randomUUID())]).toEqual(["admitted", "admitted"]);
        const other = limit === "user_act" ? "admin_act" : "user_act";
        expect(said(await limits.admitAct(other, { tenant, user: "ana" }))).toBe("admitted");
        const refused = await limits.admitAct(limit, { tenant, user: "ana" });
        if (refused.admitted) throw new Error("admitted");
        expect(refused.retryAfterS).toBeGreaterThan(30);
        expect(refused.retryAfterS).toBeLessThanOrEqual(60);
      });
    },
  );

  it("admit again once the time that they told has passed", async () => {
    const window = { max: 1, windowS: 1 };
    const change = { account: window, spread: window, address: { max: 10_000, windowS: 60 } };
    await withLimits(change, async ({ admit, limits, attempt }) => {
      let attempts = 0;
      /** On a machine that stands still the second may be over before somebody is refused. */
      const refused = async () => {
        attempts += 1;
        const [ana, bo, address] = [`ana ${attempts}`, `bo ${attempts}`, `${attempts}`] as const;
        expect(await admit(ana, address)).toBe("admitted");
        const second = await limits.admit(attempt(ana, address));
        const other = await limits.admit(attempt(bo, address));
        if (second.admitted || other.admitted) return undefined;
        expect([second, other]).toMatchObject([{ retryAfterS: 1 }, { retryAfterS: 1 }]);
        return { ana, bo, address };
      };
      const { ana, bo, address } = await waitFor(refused, {
        what: "a refusal within the second",
        timeoutMs: 30_000,
      });
      const again = async (login: string, from: string) =>
        waitFor(async () => ((await admit(login, from)) === "admitted" ? true : undefined), {
          what: `${login} to be admitted again`,
          timeoutMs: 30_000,
        });
      await again(bo, address);
      await again(ana, "elsewhere");
    });
  });
});
