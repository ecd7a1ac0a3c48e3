/** Rows of refusals: one for each, none for those who hammer, and never in anybody's way. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";

import { disableUser, revokeAll } from "../../src/sessions/admin/user-acts.js";
import {
  REFUSAL_WINDOW_MS,
  RefusalTrail,
  type RefusedAct,
  type RefusalTrailOptions,
} from "../../src/sessions/audit/refusal-trail.js";
import { DatabaseError } from "../../src/sessions/database/database.js";
import { DATABASES, type StartedDatabase } from "../support/databases.js";
import { ADDRESS, InProcessSessions } from "../support/in-process-sessions.js";

const DAY_MS = 86_400_000;

describe.each(DATABASES)("on $name", ({ start }) => {
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
  beforeEach(() => {
    service.observer.told.length = 0;
  });

  /** A tenant of its own, and a trail that tells how each row fared. */
  async function setUp(options: Partial<RefusalTrailOptions> = {}) {
    const tenant = await service.addTenant();
    const fates: string[] = [];
    const trail = new RefusalTrail({
      db: service.db,
      clock: service.clock,
      observer: {
        onWritten: () => fates.push("written"),
        onLeftOut: () => fates.push("left out"),
        onFailed: () => fates.push("failed"),
      },
      ...options,
    });
    const refused: RefusedAct = {
      tenant,
      kind: "user_revoked",
      reason: "scope_insufficient",
      actor: "user:somebody",
      subject: "somebody",
    };
    return { tenant, trail, refused, fates };
  }

  describe("the trail of refusals", () => {
    test("writes what was refused to whom, when and why", async () => {
      const { tenant, trail, refused, fates } = await setUp();
      const target = { user: "ann", session: "hers", address: ADDRESS, detail: { more: 1 } };
      trail.record({ ...refused, ...target });
      await trail.close();
      expect(await service.auditOf(tenant)).toEqual([
        {
          tenantId: tenant,
          auditId: expect.any(Number),
          at: new Date(service.clock.wallMs()),
          kind: "user_revoked",
          outcome: "refused",
          reason: "scope_insufficient",
          actor: "user:somebody",
          userId: "ann",
          sessionId: "hers",
          address: ADDRESS,
          eventId: null,
          detail: { more: 1 },
        },
      ]);
      expect(fates).toEqual(["written"]);
    });

    test("has one row a minute for the same subject, kind and reason", async () => {
      const { tenant, trail, refused, fates } = await setUp();
      for (let count = 0; count < 1000; count += 1) trail.record(refused);
      await trail.close();
      service.clock.advance(REFUSAL_WINDOW_MS - 1);
      trail.record({ ...refused, user: "somebody else's" });
      expect(await service.auditOf(tenant)).toHaveLength(1);
      service.clock.advance(1);
      trail.record(refused);
      await trail.close();
      expect(await service.auditOf(tenant)).toHaveLength(2);
      expect(fates.filter((fate) => fate === "left out")).toHaveLength(1000);
      expect(fates.filter((fate) => fate === "written")).toHaveLength(2);
    });

    test("tells subjects, kinds, reasons and tenants apart", async () => {
      const { tenant, trail, refused } = await setUp();
      const another = await service.addTenant();
      trail.record(refused);
      trail.record({ ...refused, subject: "another" });
      trail.record({ ...refused, kind: "user_disabled" });
      trail.record({ ...refused, reason: "not_found" });
      trail.record({ ...refused, tenant: another });
      await trail.close();
      expect(await service.auditOf(tenant)).toHaveLength(4);
      expect(await service.auditOf(another)).toHaveLength(1);
    });

    test("has so many rows a minute in all, whoever it is", async () => {
      const { tenant, trail, refused, fates } = await setUp({ rowsMax: 3 });
      const crowd = ["a", "b", "c", "d", "e"];
      for (const subject of crowd) trail.record({ ...refused, subject });
      await trail.close();
      for (const subject of crowd) trail.record({ ...refused, subject });
      await trail.close();
      expect(await service.auditOf(tenant)).toHaveLength(3);
      service.clock.advance(REFUSAL_WINDOW_MS);
      for (const subject of crowd) trail.record({ ...refused, subject });
      await trail.close();
      expect(await service.auditOf(tenant)).toHaveLength(6);
      expect(fates.filter((fate) => fate === "left out")).toHaveLength(2 + 5 + 2);
    });

    test("says that a row was not written, and writes the next one", async () => {
      let isAway = true;
      const transaction: typeof service.db.transaction = (scope, work) =>
        isAway
          ? Promise.reject(new DatabaseError("unavailable", "away"))
          : service.db.transaction(scope, work);
      const away = { ...service.db, transaction };
      const { tenant, trail, refused, fates } = await setUp({ db: away });
      trail.record(refused);
      await trail.close();
      isAway = false;
      trail.record(refused);
      await trail.close();
      expect(fates).toEqual(["failed", "written"]);
      expect(await service.auditOf(tenant)).toHaveLength(1);
    });

    test("keeps no more than that waiting for a database that hangs", async () => {
      let wake = (): void => undefined;
      const asleep = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const transaction: typeof service.db.transaction = async (scope, work) => {
        await asleep;
        return service.db.transaction(scope, work);
      };
      const { tenant, trail, refused, fates } = await setUp({
        db: { ...service.db, transaction },
        rowsMax: 2,
      });
      for (let minute = 0; minute < 5; minute += 1) {
        trail.record({ ...refused, subject: "one" });
        trail.record({ ...refused, subject: "two" });
        service.clock.advance(REFUSAL_WINDOW_MS);
      }
      // One is being written, two are waiting.
      expect(fates).toEqual(Array.from({ length: 7 }, () => "left out"));
      wake();
      await trail.close();
      expect(await service.auditOf(tenant)).toHaveLength(3);
    });
  });

  describe("a refused refresh", () => {
    async function trailAfter(refreshToken: string, tenant: string) {
      const before = (await service.auditOf(tenant)).length;
      const outcome = await service.refresh(refreshToken);
      await service.refusals.close();
      return { outcome, rows: (await service.auditOf(tenant)).slice(before) };
    }

    const refusedRow = (reason: string, user: string, session: string) => ({
      kind: "refresh",
      outcome: "refused",
      reason,
      actor: "anonymous",
      userId: user,
      sessionId: session,
      address: ADDRESS,
    });

    test("of a session that was ended stands in its tenant's trail", async () => {
      const user = await service.addUser();
      const { refreshToken, sessionId } = await service.open(user);
      await revokeAll(service.parts, service.administrator, user);
      const { outcome, rows } = await trailAfter(refreshToken, user.tenant);
      expect(outcome).toEqual({ kind: "refused", code: "session_ended" });
      expect(rows).toMatchObject([refusedRow("session_ended", user.user, sessionId)]);
      expect(JSON.stringify(rows)).not.toContain(refreshToken);
    });

    test("of a disabled user does", async () => {
      const user = await service.addUser();
      const { refreshToken, sessionId } = await service.open(user);
      await disableUser(service.parts, service.administrator, user);
      const { rows } = await trailAfter(refreshToken, user.tenant);
      expect(rows).toMatchObject([refusedRow("account_disabled", user.user, sessionId)]);
    });

    test.each([
      ["was not used for too long", 14 * DAY_MS, 1],
      ["is too old", 13 * DAY_MS, 7],
    ])("of a session that %s does", async (_why, stepMs, steps) => {
      const user = await service.addUser();
      const opened = await service.open(user);
      let { refreshToken } = opened;
      for (let step = 1; step < steps; step += 1) {
        service.clock.advance(stepMs);
        ({ refreshToken } = await service.rotate(refreshToken));
      }
      service.clock.advance(stepMs);
      const { outcome, rows } = await trailAfter(refreshToken, user.tenant);
      expect(outcome).toEqual({ kind: "refused", code: "refresh_token_invalid" });
      expect(rows).toMatchObject([
        refusedRow("refresh_token_invalid", user.user, opened.sessionId),
      ]);
    });

    test("is one row however often it comes", async () => {
      const user = await service.addUser();
      const { refreshToken } = await service.open(user);
      const other = await service.open(user);
      await revokeAll(service.parts, service.administrator, user);
      const before = (await service.auditOf(user.tenant)).length;
      for (let count = 0; count < 20; count += 1) await service.refresh(refreshToken);
      // Another dead token of the same user's is no way round it.
      await service.refresh(other.refreshToken);
      await service.refusals.close();
      expect((await service.auditOf(user.tenant)).length).toBe(before + 1);
      expect(service.observer.told.filter((line) => line === "refusal left out")).toHaveLength(20);
    });

    test("of a token that nobody knows leaves no row anywhere", async () => {
      const tenant = await service.addTenant();
      const own = (await service.auditOf("sekisho")).length;
      const named = Buffer.from(tenant).toString("base64url");
      const made = `skr1.${named}.${Buffer.alloc(32, 7).toString("base64url")}`;
      const { outcome, rows } = await trailAfter(made, tenant);
      expect(outcome).toEqual({ kind: "refused", code: "refresh_token_invalid" });
      expect(rows).toEqual([]);
      expect((await service.auditOf("sekisho")).length).toBe(own);
    });

    test("that comes of reuse has the row of what was done, and no other", async () => {
      const user = await service.addUser();
      const { refreshToken } = await service.open(user);
      await service.rotate(refreshToken);
      service.clock.advance(120_001);
      const { rows } = await trailAfter(refreshToken, user.tenant);
      expect(rows).toMatchObject([{ kind: "refresh_token_reused", outcome: "done" }]);
    });
  });
});
