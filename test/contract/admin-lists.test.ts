/** What administrators look up, on both databases. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";

import type { AuditFilter } from "../../src/sessions/admin/audit-query-sql.js";
import { readAudit } from "../../src/sessions/admin/audit-query.js";
import type { AuditRecord } from "../../src/sessions/admin/audit-query-sql.js";
import { endUserSession, revokeAll, unlockUser } from "../../src/sessions/admin/user-acts.js";
import { listUserSessions } from "../../src/sessions/admin/user-sessions.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { InProcessSessions, type TestUser } from "../support/in-process-sessions.js";

describe.each(DATABASES)("an administrator on $name", ({ start }) => {
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

  async function pagesOf(tenant: string, limit: number, filter: AuditFilter = {}) {
    const pages: (readonly AuditRecord[])[] = [];
    let cursor: string | undefined;
    do {
      const page = await readAudit(service.parts, tenant, { ...filter, cursor, limit });
      if (page?.kind !== "page") throw new Error("there is no page");
      pages.push(page.items);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return pages;
  }

  describe("reads the trail", () => {
    let tenant: string;
    let [ada, bob]: readonly TestUser[] = [];
    const atMs: number[] = [];
    beforeAll(async () => {
      tenant = await service.addTenant();
      ada = await service.addUser({ tenant });
      bob = await service.addUser({ tenant });
      for (const user of [ada, bob, ada]) {
        service.clock.advance(1000);
        atMs.push(service.clock.wallMs());
        await service.open(user);
        await revokeAll(service.parts, { ...service.administrator, reason: "a reason" }, user);
      }
      await unlockUser(service.parts, service.administrator, bob);
    });

    const kinds = async (filter: AuditFilter) =>
      (await pagesOf(tenant, 50, filter)).flat().map(({ kind }) => kind);

    test("the newest first, page by page, each row once", async () => {
      const pages = await pagesOf(tenant, 3);
      expect(pages.map((page) => page.length)).toEqual([3, 3, 1]);
      const ids = pages.flat().map(({ id }) => id);
      expect(ids).toEqual([...ids].sort((a, b) => b - a));
      expect(new Set(ids).size).toBe(7);
      expect(pages.flat()[1]).toEqual({
        id: ids[1],
        atMs: atMs[2],
        kind: "user_revoked",
        outcome: "done",
        reason: "a reason",
        actor: "user:administrators/an%20operator",
        user: ada?.user,
        session: undefined,
        address: "192.0.2.7",
        eventId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        detail: {},
      });
    });

    test("from a page on, whatever is added meanwhile", async () => {
      const first = await readAudit(service.parts, tenant, { limit: 2 });
      if (first?.kind !== "page") throw new Error("there is no page");
      const { nextCursor: cursor } = first;
      const second = await readAudit(service.parts, tenant, { limit: 2, cursor });
      await unlockUser(service.parts, service.administrator, { tenant, user: ada?.user ?? "" });
      expect(await readAudit(service.parts, tenant, { limit: 2, cursor })).toEqual(second);
    });

    test("by user, actor and kind", async () => {
      const revokedAndIn = ["user_revoked", "login"];
      expect(await kinds({ user: bob?.user })).toEqual(["account_unlocked", ...revokedAndIn]);
      expect(await kinds({ user: "nobody" })).toEqual([]);
      expect(await kinds({ kind: "login" })).toEqual(["login", "login", "login"]);
      expect(await kinds({ kind: "login", user: bob?.user })).toEqual(["login"]);
      const actor = "user:administrators/an%20operator";
      expect(new Set(await kinds({ actor }))).toEqual(
        new Set(["account_unlocked", "user_revoked"]),
      );
      expect(await kinds({ actor: "user:sekisho/an" })).toEqual([]);
    });

    test("from a time on and up to a time that is not meant any more", async () => {
      const [first = 0, second = 0] = atMs;
      expect(await kinds({ fromMs: first, toMs: second })).toEqual(["user_revoked", "login"]);
      expect(await kinds({ fromMs: first + 1, toMs: second })).toEqual([]);
      expect(await kinds({ fromMs: first, toMs: second + 1 })).toHaveLength(4);
      expect(await kinds({ fromMs: second, toMs: first })).toEqual([]);
    });

    test("of its tenant only", async () => {
      const other = await service.addTenant();
      expect(await pagesOf(other, 10)).toEqual([[]]);
      const page = await readAudit(service.parts, tenant, { limit: 1 });
      const cursor = page?.kind === "page" ? page.nextCursor : undefined;
      const elsewhere = await readAudit(service.parts, other, { limit: 1, cursor });
      expect(elsewhere).toEqual({ kind: "cursor_invalid" });
      expect(await readAudit(service.parts, "nowhere", { limit: 1, cursor })).toBeUndefined();
    });
  });

  test("lists a user's sessions, the newest first, also where several are of one moment", async () => {
    const user = await service.addUser();
    const opened: string[] = [];
    for (let count = 0; count < 5; count += 1) {
      if (count % 2 === 0) service.clock.advance(1000);
      opened.push((await service.open(user)).sessionId);
    }
    const ended = opened[0] ?? "";
    await endUserSession(service.parts, service.administrator, { ...user, session: ended });
    const seen: string[] = [];
    const times: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await listUserSessions(service.parts, user, { cursor, limit: 2 });
      if (page?.kind !== "page") throw new Error("there is no page");
      seen.push(...page.items.map(({ sessionId }) => sessionId));
      times.push(...page.items.map(({ createdAtMs }) => createdAtMs));
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    expect([...seen].sort()).toEqual([...opened].sort());
    expect(times).toEqual([...times].sort((a, b) => b - a));
    const all = await listUserSessions(service.parts, user, { limit: 10 });
    if (all?.kind !== "page") throw new Error("there is no page");
    expect(all.items.find(({ sessionId }) => sessionId === ended)).toMatchObject({
      deviceName: "a telephone",
      endedAtMs: service.clock.wallMs(),
      endedBy: "session_revoked",
    });
    expect(all.items[0]?.expiresAtMs).toBe((times[0] ?? 0) + 14 * 86_400_000);
  });
});
