import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { repositoryRoot } from "../repository.js";
import type { Account } from "./account.js";
import { newPassword } from "./demo-deployment.js";
import type { DemoDeployment } from "./demo-deployment.js";

const TENANT = "acme";
const BEN = { userId: "ben", login: "ben@acme.example" };

/**
 * Prints commands to try. Tokens are in files that curl reads as headers, and passwords in files that
 * it sends, so that a line fits on the screen and no secret gets into a shell's history.
 */
export async function keepRunning(deployment: DemoDeployment, account: Account): Promise<void> {
  const { sessions, operator, folder } = deployment;
  const password = newPassword();
  await sessions.createUser(operator.accessToken, TENANT, { ...BEN, password });
  const who = { tenant: TENANT, login: BEN.login, password };
  const write = (name: string, text: string) =>
    writeFile(join(folder, name), text, { mode: 0o600 });
  const header = (token: string) => `authorization: Bearer ${token}\n`;
  await write("ben-laptop", header((await sessions.login(who, "laptop")).accessToken));
  const phone = await sessions.login(who, "phone");
  await write("ben-phone", header(phone.accessToken));
  // A fresh token: the operator's first one may expire soon.
  const { tenant, login } = operator;
  const admin = await sessions.login({ tenant, login, password: operator.password }, "demo");
  await write("admin", header(admin.accessToken));
  await write("admin-token", admin.accessToken);
  await write("ben-login.json", JSON.stringify({ ...who, device_name: "curl" }));

  const main = join(repositoryRoot(), "dist", "src", "main.js");
  account.chapter("Everything goes on running, until Ctrl-C. To try (the tokens last 10 minutes):");
  account.line();
  for (const line of [
    `cd ${folder}`,
    `sessions=${deployment.service.url}   # its API, to browse: ${deployment.service.url}/docs`,
    ...deployment.pods.map((pod, index) => `node${index + 1}=${pod.envoy.url}`),
    "",
    "# Ben passes with both devices; the phone's session is ended, with a receipt; it is refused",
    "curl -iw '\\n' -H @ben-laptop $node1/things",
    "curl -iw '\\n' -H @ben-phone $node2/things",
    `ben=$sessions/v1/admin/tenants/${TENANT}/users/${BEN.userId}`,
    `curl -w '\\n' -H @admin -X DELETE "$ben/sessions/${phone.sessionId}?wait_ms=2000"`,
    "curl -iw '\\n' -H @ben-phone $node3/things",
    "",
    "# Ben logs in again; the list of devices; the audit trail",
    "curl -w '\\n' -H 'content-type: application/json' -d @ben-login.json $sessions/v1/login",
    "curl -w '\\n' -H @ben-laptop $sessions/v1/me/sessions",
    `curl -w '\\n' -H @admin $sessions/v1/admin/tenants/${TENANT}/audit`,
    "",
    "# the same from the command line: all of Ben's sessions are ended",
    `alias sekisho="node ${main}"`,
    "export SEKISHO_SESSIONS_URL=$sessions SEKISHO_SESSIONS_TOKEN=$(cat admin-token)",
    `sekisho revoke user --tenant ${TENANT} --user ${BEN.userId} --wait 2000`,
    "sekisho nodes",
    "",
  ]) {
    account.line(line);
  }
}
