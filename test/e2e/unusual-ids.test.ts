/** Ids are opaque: whatever they are, they are minted, told, revoked and compared byte for byte. */
import { afterAll, beforeAll, describe, expect, it } from "@jest/globals";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { endOf } from "../support/following.js";

let deployment: E2eDeployment;
let pod: Pod;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  pod = await deployment.addPod("node-1");
});
afterAll(() => deployment.close());

const IDS: readonly (readonly [string, string])[] = [
  ["colons", "a:b:c"],
  ["percent signs", "100%25%"],
  ["spaces, also at its ends", " a b "],
  ["quotation marks and backslashes", `"a\\b'`],
  ["commas and semicolons", "a,b;c"],
  ["braces, like a hash tag of Redis", "{p0}:log"],
  ["a slash and dots", "../etc"],
  ["Japanese", "関所"],
  ["an emoji of several code points", "👩‍👩‍👧"],
  ["a combining accent", "e\u0301"],
  ["256 characters", "x".repeat(256)],
  ["256 characters of two bytes", "é".repeat(256)],
  ["a name that objects inherit", "__proto__"],
];

async function toldTo(token: string): Promise<string[]> {
  const reply = await pod.client.get("/things", { token });
  expect(reply.status).toBe(200);
  const names = ["x-auth-tenant-id", "x-auth-user-id", "x-auth-session-id"];
  const raw = names.map((name) => reply.echo?.headers[name] ?? "");
  for (const value of raw) expect(value).toMatch(/^[\x21-\x7e]+$/);
  return raw.map(decodeURIComponent);
}

describe.each(IDS)("an id with %s", (_what, id) => {
  it("is told to the API, and decodes to what it was", async () => {
    const token = deployment.token({ tenant: id, user: id, session: id });
    expect(await toldTo(token)).toEqual([id, id, id]);
    const reply = await pod.client.get("/things", { token });
    const entry = await pod.envoy.accessLogOf(reply.headers["x-request-id"] ?? "");
    expect([entry["tenant"], entry["user"], entry["session"]]).toEqual([id, id, id]);
  });

  it("is revoked, and nothing that looks like it", async () => {
    const ended = { token: deployment.token({ tenant: id, user: "ann", session: id }) };
    const near = {
      token: deployment.token({ tenant: id, user: "ann", session: `${id.slice(0, 250)}!` }),
    };
    const elsewhere = { token: deployment.token({ tenant: "acme", user: "ann", session: id }) };
    expect(await pod.client.seen("/things", ended)).toBe("200");
    await deployment.revoke(endOf(id, id));
    await untilAnswered(pod, "/things", ended, "401 session_revoked");
    expect(await pod.client.seen("/things", near)).toBe("200");
    expect(await pod.client.seen("/things", elsewhere)).toBe("200");
    const all = { token: deployment.token({ tenant: id, user: id, session: "other" }) };
    await deployment.revoke({
      kind: "user_revoked",
      tenant: id,
      user: id,
      epoch: 1,
      issuedBefore: undefined,
    });
    await untilAnswered(pod, "/things", all, "401 user_epoch_superseded");
  });
});

describe("two ids that look alike", () => {
  it.each([
    ["composed and decomposed", "é", "e\u0301"],
    ["lower and upper case", "ann", "Ann"],
    ["with and without a space at the end", "bob", "bob "],
    ["a character and its percent-encoding", "%", "%25"],
  ])("are two: %s", async (what, one, other) => {
    const session = `${what}:${one}`;
    await deployment.revoke(endOf(session));
    const ended = { token: deployment.token({ tenant: "acme", user: "ann", session }) };
    await untilAnswered(pod, "/things", ended, "401 session_revoked");
    const twin = { tenant: "acme", user: "ann", session: `${what}:${other}` };
    expect(await pod.client.seen("/things", { token: deployment.token(twin) })).toBe("200");
  });

  it("are two where tenant and session are divided at another place", async () => {
    await deployment.revoke(endOf("b:c", "a"));
    const ended = { token: deployment.token({ tenant: "a", user: "ann", session: "b:c" }) };
    await untilAnswered(pod, "/things", ended, "401 session_revoked");
    const twin = { tenant: "a:b", user: "ann", session: "c" };
    expect(await pod.client.seen("/things", { token: deployment.token(twin) })).toBe("200");
  });
});

describe("the command line", () => {
  it("revokes ids with colons, percent signs, spaces and other alphabets", async () => {
    const person = { tenant: "ac me:%", user: "関所", session: "{p0}:log 100%" };
    const ask = { token: deployment.token(person) };
    expect(await pod.client.seen("/things", ask)).toBe("200");
    const ids = ["--tenant", person.tenant, "--session", person.session];
    const waited = await deployment.sekisho("revoke", "session", ...ids, "--wait", "10000");
    expect(waited.exit.code).toBe(0);
    expect(await pod.client.seen("/things", ask)).toBe("401 session_revoked");
  });
});
