/**
 * `npm run demo`: a scenario with real processes on this machine that shows what Sekisho does.
 *
 * Exit codes: 0 completed (or ended by Ctrl-C while kept running); 1 an unexpected result or an
 * error; 2 wrong usage; 128 + n if signal n ended it.
 */
import { constants } from "node:os";
import { parseArgs } from "node:util";

import { Account, milliseconds } from "./account.js";
import { createFixtures } from "./fixtures.js";
import { keepRunning } from "./keep.js";
import { Closing, DemoDeployment } from "./demo-deployment.js";
import { SCENARIO } from "./scenario.js";
import { printAudit } from "./audit.js";

const NODES = ["node-1", "node-2", "node-3"];
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
type StopSignal = (typeof SIGNALS)[number] | "SIGPIPE";
const SCENARIO_TIMEOUT_MS = 110_000;

const USAGE = `usage: npm run demo [-- --keep]

  --keep   leaves everything running at the end, until Ctrl-C, and prints commands to try`;

async function runScenario(account: Account, closing: Closing): Promise<DemoDeployment> {
  account.chapter("A session service, and three nodes, each with an Envoy in front of an API");
  const given = process.env["SEKISHO_REDIS_URL"];
  const deployment = await DemoDeployment.open(closing, given === "" ? undefined : given, (text) =>
    account.doing(text),
  );
  account.doing(
    `starting ${NODES.length} nodes: an API, Envoy before it, and Sekisho beside Envoy`,
  );
  await Promise.all(NODES.map((name) => deployment.addPod(name)));
  account.table([
    ["session service", deployment.service.url],
    ...deployment.pods.map(({ name, envoy }) => [name, envoy.url]),
  ]);

  const context = {
    deployment,
    account,
    fixtures: await createFixtures(deployment),
    refusedAfterMs: [],
  };
  for (const step of SCENARIO) {
    account.chapter(step.title);
    await step.run(context);
  }
  account.chapter("Who did what at acme: the end of the audit trail");
  await printAudit(deployment, account, "acme");
  const longestMs = Math.max(...context.refusedAfterMs);
  account.chapter(
    longestMs < 0
      ? "Every node refused before the acknowledgement had arrived"
      : `Longest time from an acknowledged revocation to its refusal: ${milliseconds(longestMs)}`,
  );
  return deployment;
}

async function main(): Promise<number> {
  const args = readArguments();
  if (args === undefined) return 2;
  if (args.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const account = new Account(process.stdout, process.env);
  const closing = new Closing();
  const stopped = signalled();
  const timeout = AbortSignal.timeout(SCENARIO_TIMEOUT_MS);
  const overdue = new Promise<never>((_, reject) => {
    timeout.addEventListener("abort", () => {
      reject(new Error(`not done within ${SCENARIO_TIMEOUT_MS / 1000} s`));
    });
  });
  let exitCode = 0;
  try {
    const scenario = runScenario(account, closing);
    const outcome = await Promise.race([scenario, stopped, overdue]);
    if (typeof outcome === "string") {
      scenario.catch(() => undefined);
      exitCode = 128 + constants.signals[outcome];
    } else if (args.keep !== true) {
      account.line("By hand: npm run demo -- --keep. The API by example: docs/sessions.md.");
    } else {
      await keepRunning(outcome, account);
      await stopped;
    }
  } catch (error) {
    account.failed(error instanceof Error ? error.message : String(error));
    exitCode = 1;
  }
  for (const fault of await closing.close()) {
    account.failed(`while stopping: ${fault instanceof Error ? fault.message : String(fault)}`);
    if (exitCode === 0) exitCode = 1;
  }
  return exitCode;
}

/** undefined for arguments that are not understood. */
function readArguments(): { keep?: boolean; help?: boolean } | undefined {
  try {
    const options = { keep: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;
    return parseArgs({ options }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
    return undefined;
  }
}

/**
 * Resolves with the first stop signal; later ones are ignored. Node ignores SIGPIPE: a reader that
 * has gone (`| head`) shows as an error of the output instead.
 */
async function signalled(): Promise<StopSignal> {
  return new Promise((resolve) => {
    for (const signal of SIGNALS) process.on(signal, () => resolve(signal));
    process.stdout.on("error", () => resolve("SIGPIPE"));
  });
}

// An open handle must not keep a finished demo alive.
process.exit(await main());
