/**
 * `npm run bench`: the added latency of the sidecar, then the session service; or what is named.
 *
 * Exit codes: 0 all answers right and added p95 below its limit; 1 not so, or something could not be
 * started; 2 wrong usage; 128 + n if signal n broke it off.
 */
import { addedLatency } from "./added-latency.js";
import { USAGE } from "./arguments.js";
import { BENCHMARKS, readNames, type BenchmarkName } from "./benchmark-names.js";
import { BURST_USAGE, burst } from "./burst.js";
import { PROPAGATION_USAGE, propagation } from "./propagation.js";
import { RECOVERY_USAGE, recovery } from "./recovery.js";
import { SCALE_USAGE, scale } from "./scale.js";
import { SESSION_USAGE } from "./session-arguments.js";
import { sessionService } from "./session-service.js";

const RUNS: Readonly<Record<BenchmarkName, (args: readonly string[]) => Promise<number>>> = {
  latency: addedLatency,
  sessions: sessionService,
  burst,
  propagation,
  scale,
  recovery,
};

const ALL_USAGE = `usage: npm run bench [-- options]            latency and sessions; --small or --record
       npm run bench -- NAME… [options]     these, one after the other; with one name its own options
                                            (${BENCHMARKS.join(", ")})`;

const USAGES = [
  ALL_USAGE,
  USAGE,
  SESSION_USAGE,
  BURST_USAGE,
  PROPAGATION_USAGE,
  SCALE_USAGE,
  RECOVERY_USAGE,
];

async function main(args: readonly string[]): Promise<number> {
  if (args[0] === "--help" || args[0] === "-h") {
    process.stdout.write(`${USAGES.join("\n\n")}\n`);
    return 0;
  }
  const chosen = readNames(args);
  if (chosen.kind === "wrong") {
    process.stderr.write(`${chosen.message}\n\n${ALL_USAGE}\n`);
    return 2;
  }
  const givenRedis = (process.env["SEKISHO_REDIS_URL"] ?? "") !== "";
  let exitCode = 0;
  for (const [index, name] of chosen.names.entries()) {
    if (index > 0) process.stdout.write("\n");
    if (givenRedis && !chosen.named && name !== "latency") {
      process.stdout.write(
        `Left out: ${name} starts a Redis of its own, and SEKISHO_REDIS_URL names another.\n`,
      );
      continue;
    }
    const code = await RUNS[name](chosen.options);
    // Broken off or wrongly called: what follows would be unwanted as well.
    if (code > 1) return code;
    exitCode ||= code;
  }
  return exitCode;
}

// Nothing may keep a finished benchmark from ending.
process.exit(await main(process.argv.slice(2)));
