/**
 * An upgrade in the documented order: the nodes one after the other, then the session service on the
 * same database. One deployment goes through it, test by test, with what was revoked at every step.
 */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { ALLOWED, MixedFleet, UNREADABLE, type FleetNode } from "../support/mixed-fleet.js";
import { UpgradedSessions, type Person } from "../support/upgraded-sessions.js";

const START_MS = 120_000;
const TENANT = "acme";
const ENDED = "401 session_revoked";
const SUPERSEDED = "401 user_epoch_superseded";
const CUT_OFF = "401 token_issued_before_cutoff";

let fleet: MixedFleet;
let sessions: UpgradedSessions;
let nodes: FleetNode[];
/** Still logged in at the end. */
let ann: Person;
/** Has used one refresh token, and has its successor, since before the upgrade. */
let bob: Person;
let bobBefore: Person;
/** Whose session was revoked before the upgrade. */
let carl: Person;

beforeAll(async () => {
  fleet = await MixedFleet.open();
  sessions = await UpgradedSessions.open(fleet, [TENANT, "globex"]);
  const names = ["node-1", "node-2"];
  nodes = await Promise.all(names.map((name) => sessions.addNode("earlier", name)));
  ann = await sessions.enter(TENANT, "ann");
  bobBefore = await sessions.enter(TENANT, "bob");
  bob = await sessions.refresh(bobBefore);
  carl = await sessions.enter(TENANT, "carl");
}, START_MS);
afterAll(() => fleet.close());

const both = (answer: string) => ({ earlier: answer, present: answer });

async function revokeSession(person: Person): Promise<void> {
  await sessions.revokeSession(person);
  await fleet.until(person.accessToken, both(ENDED));
}

async function revokeUser(person: Person): Promise<void> {
  await sessions.revokeUser(person);
  await fleet.until(person.accessToken, both(SUPERSEDED));
}

async function replaceNode(index: number, version: "earlier" | "present"): Promise<void> {
  const old = nodes[index];
  if (old === undefined) throw new Error(`there is no node ${index}`);
  await fleet.removeNode(old);
  nodes[index] = await sessions.addNode(version, old.name);
}

test("before the upgrade every node refuses what was revoked", async () => {
  await fleet.until(ann.accessToken, both(ALLOWED));
  await revokeSession(carl);
  await revokeUser(await sessions.enter(TENANT, "dora"));
});

test("a fleet with one half upgraded allows and refuses as before, with the old service", async () => {
  await replaceNode(1, "present");
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));
  await revokeSession(await sessions.enter(TENANT, "emil"));
  await revokeUser(await sessions.enter(TENANT, "fred"));
});

test("both halves refuse what the old command publishes past the service", async () => {
  const gina = await sessions.enter(TENANT, "gina");
  await fleet.until(gina.accessToken, both(ALLOWED));
  const whose = ["--tenant", TENANT, "--user", gina.user, "--issued-before", "now"];
  const ended = await fleet.command("earlier", ["revoke", "user", ...whose, "--break-glass"]);
  expect(ended).toMatchObject({ code: 0 });
  fleet.revoked("a cut-off past the service", gina.accessToken);
  await fleet.until(gina.accessToken, both(CUT_OFF));
});

test("a fleet that is upgraded as a whole allows and refuses as before", async () => {
  await replaceNode(0, "present");
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));
  await revokeSession(await sessions.enter(TENANT, "hans"));
});

test("the new service continues on the old database: sessions, refresh tokens and revocations", async () => {
  await sessions.replaceBy("present");
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));
  expect(await sessions.untilRefreshed(ann)).toBe("200");
  expect(await sessions.refreshed(carl)).toBe("401 session_ended");
  ann = await sessions.login(TENANT, "ann");
  await fleet.until(ann.accessToken, both(ALLOWED));
  await revokeSession(await sessions.enter(TENANT, "iris"));
  await revokeUser(await sessions.enter(TENANT, "jan"));
});

test("a refresh token that was used up before the upgrade still shows a theft", async () => {
  const after = await sessions.refresh(bob);
  await fleet.until(after.accessToken, both(ALLOWED));
  expect(await sessions.refreshed(bobBefore)).toBe("401 refresh_token_reused");
  fleet.revoked("a session with a stolen refresh token", after.accessToken);
  await fleet.until(after.accessToken, both(ENDED));
  expect(await sessions.refreshed(after)).toBe("401 session_ended");
});

test("every node refuses what only the new version can revoke", async () => {
  const kim = await sessions.enter("globex", "kim");
  await fleet.until(kim.accessToken, both(ALLOWED));
  const { code, err } = await sessions.command("present", [
    "revoke",
    "tenant",
    "--tenant",
    "globex",
  ]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  fleet.revoked("a tenant", kim.accessToken);
  await fleet.until(kim.accessToken, both("401 tenant_revoked"));
});

test("a node can go back to the old version: it refuses or does not know", async () => {
  await replaceNode(0, "earlier");
  await fleet.until(ann.accessToken, both(ALLOWED));
  await fleet.until(carl.accessToken, both(ENDED));
  const lea = await sessions.enter("globex", "lea");
  await fleet.until(lea.accessToken, { earlier: UNREADABLE, present: ALLOWED });
  await revokeSession(await sessions.enter(TENANT, "max"));
  await revokeUser(await sessions.enter(TENANT, "nina"));
});

test("the service cannot go back: the old one refuses the new tables", async () => {
  await expect(sessions.openDatabase("earlier")).rejects.toThrow(/newer version of Sekisho/);
  await fleet.until(ann.accessToken, both(ALLOWED));
});

test("at no step did a node allow what was revoked", async () => {
  const { wrongAllows, refusals } = await fleet.watched();
  expect(wrongAllows).toEqual([]);
  expect(refusals).toBeGreaterThan(100);
});
