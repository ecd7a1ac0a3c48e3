/** How often one account may act, on both databases: what is refused writes nothing. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { DEFAULT_LIMITS, type LimitSettings } from "../../src/sessions/limits/login-limits.js";
import {
  InProcessApi,
  inPath,
  type ApiAnswer,
  type TestCaller,
} from "../support/in-process-api.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { MemoryLoginLimits } from "../support/login-limits-memory.js";
import { PASSWORD, InProcessSessions, type TestUser } from "../support/in-process-sessions.js";
import { unsignedToken } from "../support/unsigned-token.js";

const OTHERS = "/v1/me/sessions/revoke-others";
/** As many as an operator's script sends at the same time. */
const AT_ONCE = 10;

describe.each(DATABASES)("on $name the acts of one account", ({ start }) => {
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

  /** With nothing counted yet; each test has its own. */
  async function withApi(
    change: Partial<LimitSettings>,
    use: (api: InProcessApi) => Promise<void>,
  ): Promise<void> {
    const limits = new MemoryLoginLimits({ ...DEFAULT_LIMITS, ...change }, service.clock);
    service.observer.told.length = 0;
    const api = await InProcessApi.start(service, { parts: { limits } });
    try {
      await use(api);
    } finally {
      await api.close();
    }
  }

  const refusedAnswer = (retryAfter: string) => ({
    status: 429,
    headers: { "retry-after": retryAfter },
    json: { code: "rate_limited" },
  });

  async function writtenIn(tenant: string): Promise<readonly number[]> {
    return [(await service.revocationsOf(tenant)).length, (await service.auditOf(tenant)).length];
  }

  const times = async (count: number, act: () => Promise<ApiAnswer>): Promise<void> => {
    for (let done = 0; done < count; done += 1) expect((await act()).status).toBe(200);
  };

  test("are 60 in a minute by default, whichever of its sessions asks", async () => {
    await withApi({}, async (api) => {
      const user = await api.caller();
      const { token } = user;
      const other = await service.open(user);
      await times(30, () => api.call("POST", OTHERS, { token }));
      const third = await service.open(user);
      await times(30, () => api.call("DELETE", `/v1/me/sessions/${third.sessionId}`, { token }));
      const last = await service.open(user);
      const before = await writtenIn(user.tenant);
      service.clock.advance(1000);
      for (const asking of [token, last.accessToken]) {
        const answer = await api.call("POST", OTHERS, { token: asking });
        expect(answer).toMatchObject(refusedAnswer("59"));
      }
      const ending = await api.call("DELETE", `/v1/me/sessions/${last.sessionId}`, { token });
      expect(ending).toMatchObject(refusedAnswer("59"));
      expect(await writtenIn(user.tenant)).toEqual(before);
      expect(service.observer.told.filter((one) => one.startsWith("limit"))).toEqual(
        Array.from({ length: 3 }, () => "limit user_act"),
      );
      const ended = (await service.sessionsOf(user)).filter(({ endedAt }) => endedAt !== null);
      expect(ended.map(({ sessionId }) => sessionId).sort()).toEqual(
        [other.sessionId, third.sessionId].sort(),
      );
      service.clock.advance(59_000);
      expect((await api.call("POST", OTHERS, { token })).status).toBe(200);
      expect((await service.refresh(last.refreshToken)).kind).toBe("refused");
    });
  });

  test("include changes of the password, right or wrong", async () => {
    const wide = { max: 1000, windowS: 60 };
    const change = { account: wide, address: wide, user_act: { max: 5, windowS: 60 } };
    await withApi(change, async (api) => {
      const user = await api.caller();
      const passwords = [PASSWORD, "another long enough password"];
      const changing = (turn: number, wrong = false): Promise<ApiAnswer> => {
        const [current_password = "", new_password = ""] =
          turn % 2 ? passwords.toReversed() : passwords;
        const body = { current_password: wrong ? "wrong" : current_password, new_password };
        return api.call("PUT", "/v1/me/password", { token: user.token, body });
      };
      for (let turn = 0; turn < 4; turn += 1) expect((await changing(turn)).status).toBe(200);
      expect((await changing(4, true)).status).toBe(401);
      const before = await writtenIn(user.tenant);
      expect(await changing(4)).toMatchObject(refusedAnswer("60"));
      expect(await changing(4, true)).toMatchObject(refusedAnswer("60"));
      expect(await writtenIn(user.tenant)).toEqual(before);
      expect(service.observer.told.slice(-2)).toEqual(["limit user_act", "limit user_act"]);
    });
  });

  test("take nothing from another account, and leave the way out open", async () => {
    await withApi({ user_act: { max: 2, windowS: 60 } }, async (api) => {
      const user = await api.caller();
      const colleague = await api.caller({ tenant: user.tenant });
      const administrator = await api.caller({ tenant: user.tenant, role: "tenant_admin" });
      await times(2, () => api.call("POST", OTHERS, user));
      expect((await api.call("POST", OTHERS, user)).status).toBe(429);
      await times(2, () => api.call("POST", OTHERS, colleague));
      expect((await api.call("POST", "/v1/logout", user)).status).toBe(200);
      expect((await api.call("POST", actPath(user, "disable"), asked(administrator))).status).toBe(
        200,
      );
    });
  });

  test("are not counted where the request was never one that may be done", async () => {
    await withApi({ user_act: { max: 1, windowS: 60 } }, async (api) => {
      const user = await api.caller();
      for (let i = 0; i < 3; i += 1) {
        expect((await api.call("POST", `${OTHERS}?wait_ms=x`, user)).status).toBe(400);
        expect((await api.call("POST", actPath(user, "disable"), asked(user))).status).toBe(403);
      }
      await times(1, () => api.call("POST", OTHERS, user));
    });
  });

  test("end every kind of an administrator's acts, and no other administrator's", async () => {
    await withApi({ admin_act: { max: 3, windowS: 60 } }, async (api) => {
      const target = await api.caller();
      const [one, other] = [
        await api.caller({ role: "operator" }),
        await api.caller({ role: "operator" }),
      ];
      await times(3, () => api.call("POST", actPath(target, "revoke-all"), asked(one)));
      const { sessionId } = await service.open(target);
      const before = await writtenIn(target.tenant);
      for (const name of ["revoke-all", "disable", "enable", "unlock", "password"]) {
        const answer = await api.call("POST", actPath(target, name), asked(one));
        expect({ name, ...answer }).toMatchObject({ name, ...refusedAnswer("60") });
      }
      const session = actPath(target, `sessions/${inPath(sessionId)}`);
      expect(await api.call("DELETE", session, { token: one.token })).toMatchObject(
        refusedAnswer("60"),
      );
      const tenant = `/v1/admin/tenants/${inPath(target.tenant)}`;
      const key = { issuer: "https://issuer.example", thumbprint: "A".repeat(43) };
      for (const [path, body] of [
        [`${tenant}/tokens/revoke`, { token: unsignedToken({}) }],
        [`${tenant}/clients/one/revoke-all`, {}],
        [`${tenant}/revoke-all`, {}],
        ["/v1/admin/clients/one/revoke-all", {}],
        ["/v1/admin/keys/revoke", key],
        ["/v1/admin/keys/lift", key],
        ["/v1/admin/revoke-all", {}],
      ] as const) {
        const answer = await api.call("POST", path, { token: one.token, body });
        expect({ path, ...answer }).toMatchObject({ path, ...refusedAnswer("60") });
      }
      expect(await writtenIn(target.tenant)).toEqual(before);
      expect((await service.userRow(target)).disabledAt).toBeNull();
      expect(service.observer.told.slice(-13)).toEqual(
        Array.from({ length: 13 }, () => "limit admin_act"),
      );
      expect((await api.call("DELETE", session, { token: other.token })).status).toBe(200);
    });
  });

  test("let an operator revoke several hundred within a minute", async () => {
    await withApi({}, async (api) => {
      const operator = await api.caller({ role: "operator" });
      const target = await api.caller();
      for (let done = 0; done < 400; done += AT_ONCE) {
        const acts = Array.from({ length: AT_ONCE }, () =>
          api.call("POST", actPath(target, "revoke-all"), asked(operator)),
        );
        const statuses = (await Promise.all(acts)).map(({ status }) => status);
        expect(statuses).toEqual(Array.from({ length: AT_ONCE }, () => 200));
      }
      expect(await service.revocationsOf(target.tenant)).toHaveLength(400);
    });
  }, 120_000);
});

const asked = ({ token }: TestCaller) => ({ token, body: {} });

function actPath({ tenant, user }: TestUser, name: string): string {
  return `/v1/admin/tenants/${inPath(tenant)}/users/${inPath(user)}/${name}`;
}
