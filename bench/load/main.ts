/**
 * `npm run bench`: the added latency of the sidecar, then the session service.
 *
 * Exit codes: 0 all answers right and added p95 below its limit; 1 not so, or something could not be
 * started; 2 wrong usage; 128 + n if signal n broke it off.
 */
import { addedLatency } from "./added-latency.js";
import { USAGE } from "./arguments.js";
import { BURST_USAGE, burst } from "./burst.js";
import { SESSION_USAGE } from "./session-arguments.js";
import { sessionService } from "./session-service.js";

/** What both understand; with anything else, whose it is has to be said. */
const COMMON = ["--small", "--record"];

const BOTH_USAGE = `usage: npm run bench [-- options]            both, one after the other; --small or --record
       npm run bench -- latency [options]   the added latency of the sidecar
       npm run bench -- sessions [options]  the session service
       npm run bench -- burst [options]     a burst of revocations at one node`;

async function main(args: readonly string[]): Promise<number> {
  const [which, ...rest] = args;
  if (which === "latency") return addedLatency(rest);
  if (which === "sessions") return sessionService(rest);
  if (which === "burst") return burst(rest);
  if (which === "--help" || which === "-h") {
    process.stdout.write(`${[BOTH_USAGE, USAGE, SESSION_USAGE, BURST_USAGE].join("\n\n")}\n`);
    return 0;
  }
  // The options of the first benchmark need no name before them.
  if (args.some((arg) => !COMMON.includes(arg))) return addedLatency(args);
  const exitCode = await addedLatency(args);
  // Broken off or wrongly called: the second would be unwanted as well.
  if (exitCode > 1) return exitCode;
  if ((process.env["SEKISHO_REDIS_URL"] ?? "") !== "") {
    process.stdout.write(
      "\nThe session service is left out: its benchmark starts a Redis of its own, and " +
        "SEKISHO_REDIS_URL names another.\n",
    );
    return exitCode;
  }
  process.stdout.write("\n");
  const second = await sessionService(args);
  return second === 0 ? exitCode : second;
}

// Nothing may keep a finished benchmark from ending.
process.exit(await main(process.argv.slice(2)));
