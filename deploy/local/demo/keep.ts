import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { repositoryRoot } from "../repository.js";
import type { Account } from "./account.js";
import type { Stage } from "./stage.js";

/** The longest lifetime that the nodes accept. */
const TOKEN_LIFETIME_S = 900;
const SESSIONS = ["ben-laptop", "ben-phone"];

/**
 * Prints what can be tried by hand. Tokens lie in files that curl reads as headers, so that a line
 * fits on the screen and no token gets into a shell's history.
 */
export async function keepRunning(stage: Stage, account: Account): Promise<void> {
  for (const session of SESSIONS) {
    const lifetimeS = TOKEN_LIFETIME_S;
    const token = await stage.mint.mint({
      tenant: "acme",
      user: "ben",
      session,
      epoch: 0,
      lifetimeS,
    });
    await writeFile(join(stage.folder, session), `authorization: Bearer ${token}\n`, {
      mode: 0o600,
    });
  }
  const main = join(repositoryRoot(), "dist", "src", "main.js");
  account.chapter("Everything goes on running, until Ctrl-C. To try (the tokens last 15 minutes):");
  account.line();
  account.line(`cd ${stage.folder}`);
  stage.pods.forEach((pod, index) => account.line(`node${index + 1}=${pod.envoy.url}`));
  // One that was given stands in the caller's environment, and may hold a password.
  if (stage.redisIsOwn) account.line(`export SEKISHO_REDIS_URL=${stage.log.url}`);
  account.line(`alias sekisho="node ${main}"`);
  account.line();
  account.line("curl -iw '\\n' -H @ben-laptop $node1/things");
  account.line("curl -iw '\\n' -H @ben-phone $node2/things");
  account.line("sekisho revoke session --tenant acme --session ben-phone --wait 2000");
  account.line("curl -iw '\\n' -H @ben-phone $node3/things");
  account.line("sekisho nodes");
  account.line();
}
