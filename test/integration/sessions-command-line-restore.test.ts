/**
 * The database is lost and brought back from a backup: it does not know what was decided since, and
 * `sekisho sessions after-restore` sees to it that nobody profits from that.
 */
import { cp, rm } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";

import { waitFor, waitUntil } from "../../dev/wait-for.js";
import type { Pod } from "../support/e2e-deployment.js";
import { formatMs, reportMeasured } from "../support/e2e-report.js";
import { sekisho } from "../support/sekisho-command.js";
import {
  KEPT_IN,
  PASSWORD,
  RunningSessions,
  type LoggedIn,
  type SessionsDeployment,
} from "../support/sessions-deployment.js";

const PATH = "/things";
const REVOKED = "401 all_revoked";
const STALE = "503 revocations_stale";
const SLOW_MS = 240_000;
/** From when the service listens again. */
const REFUSED_WITHIN_MS = 15_000;
/** Logins that come sooner look to the nodes as if they came from before the restore. */
const PASSES_WITHIN_MS = 30_000;

/** Both while no service runs. */
interface Backup {
  restore(): Promise<void>;
}

async function backUp({ data }: SessionsDeployment): Promise<Backup> {
  const { database, postgres } = data;
  if ("folder" in database) {
    const { folder } = database;
    const copy = `${folder}-backup`;
    await cp(folder, copy, { recursive: true });
    return {
      restore: async () => {
        await rm(folder, { recursive: true });
        await cp(copy, folder, { recursive: true });
      },
    };
  }
  if (postgres === undefined) throw new Error("no PostgreSQL");
  const name = new URL(database.url).pathname.slice(1);
  const make = (target: string, source: string) =>
    postgres.query(`CREATE DATABASE ${target} OWNER sekisho TEMPLATE ${source}`);
  await make("backup", name);
  return {
    restore: async () => {
      await postgres.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await make(name, "backup");
    },
  };
}

describe.each(KEPT_IN)("a restored database: $name", (keptIn) => {
  let running: RunningSessions;
  let pod: Pod;

  beforeAll(async () => {
    running = await RunningSessions.open(keptIn);
    await running.addTenant("acme");
    pod = await running.addPod("node-1");
  }, SLOW_MS);
  afterEach(() => running.deployment.stopPollers());
  afterAll(() => running.close());

  const seenBy = ({ accessToken: token }: LoggedIn) =>
    pod.client.seen(PATH, { token, stale: true });
  const until = (whose: LoggedIn, answer: string, timeoutMs = 30_000) =>
    waitUntil(async () => (await seenBy(whose)) === answer, {
      what: `${whose.user}: ${answer}`,
      timeoutMs,
    });
  const refreshed = async ({ refreshToken }: LoggedIn) =>
    (await running.client.ask("POST", "/v1/refresh", { body: { refresh_token: refreshToken } }))
      .body;

  async function restart(): Promise<void> {
    running.service = await running.base.startService({ listen: running.service.listen });
    await running.service.waitReady();
  }

  function afterRestore() {
    const { database } = running.base.data;
    const place =
      "url" in database
        ? { SEKISHO_DATABASE_URL: database.url }
        : { SEKISHO_DATA_DIR: database.folder };
    return sekisho(["sessions", "after-restore"], place);
  }

  test(
    "ends what was there before, also what it does not know, and lets people log in anew",
    async () => {
      const before = await running.enter("acme", "ann");
      await running.service.stop();
      const backup = await backUp(running.base);
      await restart();
      const since = await running.login(before, "another device");
      const unknown = await running.enter("acme", "bob");
      for (const one of [before, since, unknown]) await until(one, "200");

      await running.service.stop();
      await backup.restore();
      const first = await afterRestore();
      const doneMs = performance.now();
      expect([first.code, first.err]).toEqual([0, ""]);
      // The operator and ann, each with one session; of ann's second one it knows nothing.
      expect(first.out).toMatch(
        /^Raised the epochs of 2 users in 2 tenants and ended 2 sessions\.\n/,
      );
      expect(first.out).toContain("within the next 8 s: start the service after that");
      const second = await afterRestore();
      expect([second.code, second.err]).toEqual([0, ""]);
      expect(second.out).toMatch(
        /^Raised the epochs of 2 users in 2 tenants and ended 0 sessions\.\n/,
      );

      await restart();
      const readyMs = performance.now();
      await until(before, REVOKED);
      await until(since, REVOKED);
      await until(unknown, REVOKED);
      const refusedMs = performance.now() - readyMs;
      expect(refusedMs).toBeLessThan(REFUSED_WITHIN_MS);
      const watched = running.deployment.poll("unknown", pod.client, PATH, {
        token: unknown.accessToken,
      });

      for (const one of [before, since]) {
        expect(await refreshed(one)).toMatchObject({
          code: expect.stringMatching(/^(session_ended|refresh_token_invalid)$/),
        });
      }
      expect(await refreshed(unknown)).toMatchObject({ code: "refresh_token_invalid" });
      const body = { tenant: "acme", login: "bob", password: PASSWORD, device_name: "d" };
      const login = await running.client.ask("POST", "/v1/login", { body });
      expect(login).toMatchObject({ status: 401, body: { code: "bad_credentials" } });

      const anew = await waitFor(
        async () => {
          const one = await running.login(before);
          const seen = await seenBy(one);
          if (seen === "200") return one;
          expect(seen).toBe(STALE);
          return undefined;
        },
        { what: "a login that passes", timeoutMs: PASSES_WITHIN_MS },
      );
      const passesMs = performance.now() - doneMs;
      await until(anew, "200");
      await watched.until(REVOKED, -Infinity);
      expect(watched.seen.some(({ what }) => what === "200")).toBe(false);
      for (const one of [before, since]) await until(one, REVOKED);
      reportMeasured(
        `${keptIn.name}: after a restore from a backup all are refused ${formatMs(refusedMs)} after ` +
          `the service is ready; the first login that passes comes ${formatMs(passesMs)} after the command`,
      );
    },
    SLOW_MS,
  );

  test("that cannot be had ends the command with 1 and changes nothing", async () => {
    const { database } = running.base.data;
    if ("folder" in database) {
      const { code, out, err } = await afterRestore();
      expect([code, out]).toEqual([1, ""]);
      expect(err).toMatch(/^sekisho sessions after-restore: nothing was changed: /);
    } else {
      const url = "postgres://ann:hunter2@127.0.0.1:1/none";
      const ended = await sekisho(["sessions", "after-restore"], { SEKISHO_DATABASE_URL: url });
      expect([ended.code, ended.out]).toEqual([1, ""]);
      expect(ended.err).toMatch(/^sekisho sessions after-restore: nothing was changed: /);
      expect(ended.err).not.toContain("hunter2");
    }
  });
});
