/** Envoy and the node talk over a Unix socket: no port of the node is open to anybody else. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "@jest/globals";
import { untilServing } from "../support/e2e-health.js";
import { E2eDeployment, untilAnswered, type Pod } from "../support/e2e-deployment.js";
import { endOf } from "../support/following.js";

const person = { tenant: "acme", user: "ann", session: "ann-laptop" };

let deployment: E2eDeployment;
let path: string;
let pod: Pod;

beforeAll(async () => {
  deployment = await E2eDeployment.open();
  path = join(deployment.folder, "authz.sock");
  pod = await deployment.addPod("node-1", { listen: `unix:${path}` });
});
afterAll(() => deployment.close());

it("lets pass and refuses through a Unix socket as through TCP", async () => {
  expect((await stat(path)).isSocket()).toBe(true);
  expect(pod.authz.address).toEqual({ path });
  await untilServing(pod.authz);
  const reply = await pod.client.get("/things", { token: deployment.token(person) });
  expect(reply.echo?.headers["x-auth-session-id"]).toBe(person.session);
  const revoked = { token: deployment.token({ ...person, session: "revoked" }) };
  expect(await pod.client.seen("/things", revoked)).toBe("200");
  await deployment.revoke(endOf("revoked"));
  await untilAnswered(pod, "/things", revoked, "401 session_revoked");
});

it("gives the socket to its group, as SEKISHO_LISTEN_MODE has it if nothing else is said", async () => {
  expect((await stat(path)).mode & 0o777).toBe(0o660);
  const narrow = join(deployment.folder, "narrow.sock");
  const settings = { SEKISHO_LISTEN_MODE: "0600" };
  await deployment.addNode("narrow", { listen: `unix:${narrow}`, settings });
  expect((await stat(narrow)).mode & 0o777).toBe(0o600);
});

it("starts again on the socket that a killed node left behind", async () => {
  const token = deployment.token(person);
  await pod.authz.kill();
  expect((await stat(path)).isSocket()).toBe(true);
  expect(await pod.client.seen("/things", { token })).toBe("503");
  const again = await deployment.addNode("node-2", { listen: `unix:${path}` });
  await again.waitReady();
  await untilAnswered(pod, "/things", { token }, "200");
  await again.stop();
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
});
