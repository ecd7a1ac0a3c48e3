/**
 * An upgrade in the wrong order: the session service and the command before the nodes. One deployment
 * goes through it, test by test. A node that cannot read an entry answers 503 for what it may revoke;
 * no node allows it.
 */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { userPath } from "../../dev/sessions-client.js";
import { waitUntil } from "../../dev/wait-for.js";
import { redis } from "../support/following.js";
import { ALLOWED, MixedFleet, UNREADABLE, type FleetNode } from "../support/mixed-fleet.js";
import { UpgradedSessions, type Person } from "../support/upgraded-sessions.js";

const START_MS = 120_000;
const UNTIL_MS = 30_000;
const TENANT = "acme";
const ENDED = "401 session_revoked";
const SUPERSEDED = "401 user_epoch_superseded";
const CUT_OFF = "401 token_issued_before_cutoff";
const ALL = "401 all_revoked";

let fleet: MixedFleet;
let sessions: UpgradedSessions;
let nodes: readonly [FleetNode, FleetNode];
let ann: Person;
let bert: Person;
/** Revoked before the upgrade. */
let carl: Person;

beforeAll(async () => {
  fleet = await MixedFleet.open();
  sessions = await UpgradedSessions.open(fleet, [TENANT, "globex"]);
  nodes = [
    await sessions.addNode("earlier", "node-1"),
    await sessions.addNode("earlier", "node-2"),
  ];
  ann = await sessions.enter(TENANT, "ann");
  bert = await sessions.enter(TENANT, "bert");
  carl = await sessions.enter(TENANT, "carl");
  await sessions.revokeSession(carl);
  await fleet.until(carl.accessToken, both(ENDED));
}, START_MS);
afterAll(() => fleet.close());

const both = (answer: string) => ({ earlier: answer, present: answer });

test("an old instance beside the new service issues, uses up and acknowledges nothing", async () => {
  const beside = await sessions.startBeside("earlier");
  await sessions.replaceBy("present");
  const old = sessions.clientOf(beside);
  const body = { refresh_token: ann.refreshToken };
  const login = { tenant: TENANT, login: "ann", password: sessions.password, device_name: "d" };
  const token = sessions.operatorToken;
  const path = `${userPath(bert)}/sessions/${bert.sessionId}`;
  // The old one cannot use the tables, and the new one revokes nothing until it may search the log.
  const answers = [
    await old.ask("POST", "/v1/refresh", { body }),
    await old.ask("POST", "/v1/login", { body: login }),
    await old.ask("DELETE", path, { token }),
    await sessions.client.ask("DELETE", path, { token }),
  ];
  for (const { status } of answers) expect(status).toBeGreaterThanOrEqual(500);
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));

  await beside.stop();
  expect(await sessions.untilRefreshed(ann)).toBe("200");
  await sessions.revokeSession(bert);
  await fleet.until(bert.accessToken, both(ENDED));
});

test("old nodes follow the log of the new service, and know what was revoked before", async () => {
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));
});

test("old nodes refuse what the new service revokes of what they know", async () => {
  const [dora, emil] = [await sessions.enter(TENANT, "dora"), await sessions.enter(TENANT, "emil")];
  await sessions.revokeSession(dora);
  await fleet.until(dora.accessToken, both(ENDED));
  await sessions.revokeUser(emil);
  await fleet.until(emil.accessToken, both(SUPERSEDED));
});

test("the old command revokes through the new service, and past it", async () => {
  const [fred, gina] = [await sessions.enter(TENANT, "fred"), await sessions.enter(TENANT, "gina")];
  const user = (whose: Person) => ["revoke", "user", "--tenant", TENANT, "--user", whose.user];
  const through = await sessions.command("earlier", user(fred));
  expect(through).toMatchObject({ code: 0 });
  fleet.revoked("a user by the old command", fred.accessToken);
  await fleet.until(fred.accessToken, both(SUPERSEDED));

  const past = [...user(gina), "--issued-before", "now", "--break-glass"];
  expect(await fleet.command("earlier", past)).toMatchObject({ code: 0 });
  fleet.revoked("a cut-off by the old command", gina.accessToken);
  await fleet.until(gina.accessToken, both(CUT_OFF));
  await waitUntil(async () => (await sessions.refreshed(gina)) === "401 session_ended", {
    what: "the new service to import it",
    timeoutMs: UNTIL_MS,
  });
});

test("the new command refuses to publish what a node cannot read, until it is told to", async () => {
  const [hans, args] = [await sessions.enter("globex", "hans"), ["revoke", "tenant", "--tenant"]];
  const refused = await sessions.command("present", [...args, "globex"]);
  expect(refused).toMatchObject({ code: 2, out: "" });
  expect(refused.err).toContain("node-1, node-2 cannot read `tenant_revoked`");
  await fleet.until(hans.accessToken, both(ALLOWED));

  await fleet.removeNode(nodes[1]);
  await sessions.addNode("present", "node-2");
  const told = await sessions.command("present", [...args, "globex", "--yes"]);
  expect(told.code).toBe(0);
  expect(told.err).toContain("warning: node-1 cannot read `tenant_revoked`");
  fleet.revoked("a tenant", hans.accessToken);
  await fleet.until(hans.accessToken, { earlier: UNREADABLE, present: "401 tenant_revoked" });
  await fleet.until(ann.accessToken, both(ALLOWED));
});

test("one token of a tenant makes the tenant uncertain for the half that cannot read it", async () => {
  const iris = await sessions.enter(TENANT, "iris");
  const args = ["revoke", "token", "--tenant", TENANT, "--yes"];
  const { code, err } = await sessions.command("present", args, iris.accessToken);
  expect({ code, err }).toMatchObject({ code: 0 });
  fleet.revoked("a token", iris.accessToken);
  await fleet.until(iris.accessToken, { earlier: UNREADABLE, present: "401 token_revoked" });
  await fleet.until(ann.accessToken, { earlier: UNREADABLE, present: ALLOWED });
  await fleet.until(carl.accessToken, both(ENDED));
});

test("all tokens at once are refused by one half and uncertain for the other", async () => {
  const { code, err } = await sessions.command("present", ["revoke", "all", "--yes"]);
  expect({ code, err }).toMatchObject({ code: 0 });
  fleet.revoked("everything", ann.accessToken);
  await fleet.until(ann.accessToken, { earlier: UNREADABLE, present: ALL });
  await fleet.until(carl.accessToken, both(ENDED));
});

test("a log that was lost is restored with what one half cannot read", async () => {
  await redis(fleet.redis.url, "FLUSHALL");
  const late = await sessions.addNode("earlier", "node-late");
  await fleet.until(ann.accessToken, { earlier: UNREADABLE, present: ALL });
  expect(await late.check(ann.accessToken)).toBe(UNREADABLE);
  await fleet.until(carl.accessToken, { earlier: ENDED, present: ENDED });
});

test("at no step did a node allow what was revoked", async () => {
  const { wrongAllows, refusals } = await fleet.watched();
  expect(wrongAllows).toEqual([]);
  expect(refusals).toBeGreaterThan(100);
});
