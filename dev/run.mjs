/**
 * Behind `npm run demo`, `npm test` and `npm run bench`: sets up whatever is missing, one line about
 * each step, then runs the program so that nothing of it is left afterwards. Plain JavaScript
 * without dependencies, because it runs before `npm ci`.
 *
 * Exit codes: the program's own; 1 if a step of the set-up could not be done; 2 for wrong usage or
 * configuration; 128 + n if signal n stopped it.
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import { delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { provideBuild } from "./provide-build.mjs";
import { provideCurl } from "./provide-curl.mjs";
import { provideDependencies } from "./provide-dependencies.mjs";
import { provideEarlierVersion } from "./provide-earlier-version.mjs";
import { provideEnvoy } from "./provide-envoy.mjs";
import { providePostgresql } from "./provide-postgresql.mjs";
import { provideRedisServer } from "./provide-redis-server.mjs";
import { createReport } from "./report-step.mjs";
import { requireSettings } from "./require-settings.mjs";
import { SetUpFault } from "./set-up-fault.mjs";
import { takeSetUpTurn } from "./set-up-turn.mjs";
import { stoppable } from "./stop-signal.mjs";
import { supervise } from "./supervise.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Read by CI; inside the folder that git ignores. */
const JEST_REPORT = "dist/jest-report.json";
const JEST_REPORT_E2E = "dist/jest-report-e2e.json";
const JEST_REPORT_GUARANTEE = "dist/jest-report-guarantee.json";
const JEST_REPORT_ATTACKS = "dist/jest-report-attacks.json";
const JEST_REPORT_UPGRADE = "dist/jest-report-upgrade.json";

/**
 * What is run, with Node's own arguments first. `redisMayBeGiven`: works against the Redis that
 * SEKISHO_REDIS_URL names. The tests do not: they stop, cut off and empty their servers. `needs`:
 * what is set up besides Node.js, the dependencies and the build. The demo's database runs in its
 * process; curl runs the documents' examples.
 */
const PROGRAMS = {
  demo: {
    redisMayBeGiven: true,
    needs: ["redis", "envoy"],
    args: ["dist/dev/demo/main.js"],
  },
  bench: {
    redisMayBeGiven: true,
    needs: ["redis", "postgresql", "envoy"],
    args: ["dist/bench/load/main.js"],
  },
  test: {
    redisMayBeGiven: false,
    needs: ["redis", "postgresql", "curl", "envoy"],
    args: jest(JEST_REPORT, "--runInBand"),
  },
  // Random faults for minutes; `--short`: for about a minute, and on a single Redis or with replicas only.
  guarantee: {
    redisMayBeGiven: false,
    needs: ["redis", "postgresql", "envoy"],
    args: jest(JEST_REPORT_GUARANTEE, "--runInBand", "test/guarantee"),
  },
  // Judges latencies beside an attack, so it needs a quiet machine.
  attacks: {
    redisMayBeGiven: false,
    needs: ["redis", "envoy"],
    args: jest(JEST_REPORT_ATTACKS, "--runInBand", "test/attacks"),
  },
  // Programs of the last version beside those of this one. Needs the git history.
  upgrade: {
    redisMayBeGiven: false,
    needs: ["redis", "postgresql", "earlier version"],
    args: jest(JEST_REPORT_UPGRADE, "--runInBand", "test/upgrade"),
  },
};

/** 128 + n: signal n ended the program. */
const EXIT_CODES_OF_SIGNALS = 128;

/**
 * What `npm test` runs if nothing is asked for: two files at a time, because most of them wait. The
 * end-to-end tests, which start whole deployments and judge their times, do not run beside the others.
 */
const ALL_TESTS = [
  jest(
    JEST_REPORT,
    "--maxWorkers=2",
    "--testPathIgnorePatterns=/test/(attacks|e2e|guarantee|upgrade)/",
  ),
  jest(JEST_REPORT_E2E, "--maxWorkers=2", "test/e2e"),
];

const SLOWEST_MAX = 10;

/** What an earlier run may have left. */
const REPORTS = {
  test: [JEST_REPORT, JEST_REPORT_E2E],
  guarantee: [JEST_REPORT_GUARANTEE],
  attacks: [JEST_REPORT_ATTACKS],
  upgrade: [JEST_REPORT_UPGRADE],
};

/** What Node.js is given. */
function jest(report, ...options) {
  return [
    "--experimental-vm-modules",
    "--disable-warning=ExperimentalWarning",
    "node_modules/jest/bin/jest.js",
    // jest's default is below TMPDIR, which goes at the end of each run.
    "--cacheDirectory=node_modules/.cache/jest",
    "--json",
    `--outputFile=${report}`,
    ...options,
  ];
}

/** Sets up for all of them. */
const SET_UP_ALONE = {
  redisMayBeGiven: false,
  needs: ["redis", "postgresql", "curl", "envoy"],
  args: undefined,
};

const USAGE = `usage: node dev/run.mjs demo|test|guarantee|attacks|upgrade|bench [arguments of the program]
       node dev/run.mjs setup [--print-env]`;

/**
 * What the tests below a folder need besides Node.js, the dependencies and the build; each of the
 * others needs all of it.
 */
const NEEDS_OF_TESTS = [
  [/^(\.\/)?test\/(unit\b|architecture\.test|outgoing-names\.test)/, []],
  [/^(\.\/)?test\/contract\b/, ["redis", "postgresql"]],
  [/^(\.\/)?test\/upgrade\b/, ["redis", "postgresql", "earlier version"]],
];

const ALL_NEEDS = ["redis", "postgresql", "curl", "envoy"];

/** @param {string[]} args what jest is given: paths and options */
function needsOfTests(args) {
  const paths = args.filter((arg) => !arg.startsWith("-"));
  if (paths.length === 0) return ALL_NEEDS;
  const needs = paths.flatMap(
    (path) => NEEDS_OF_TESTS.find(([folder]) => folder.test(path))?.[1] ?? ALL_NEEDS,
  );
  return [...new Set(needs)];
}

/**
 * What may have to be supplied by hand comes first, before a minute has gone into the rest.
 * Returns the environment in which the program finds what was set up.
 * @param {string[]} needs of ALL_NEEDS, and `earlier version`
 */
async function setUp({ env, stop, report, redisMayBeGiven, needs }) {
  const context = { root: ROOT, env, stop };
  await report("Node.js", requireNodeVersion);
  const found = {};
  if (needs.includes("redis")) {
    await report("redis-server", async (doing) => {
      if (redisMayBeGiven && (env.SEKISHO_REDIS_URL ?? "") !== "") {
        return "not needed, SEKISHO_REDIS_URL is set";
      }
      const { outcome, addToPath } = await provideRedisServer(context, doing);
      if (addToPath !== undefined) found.PATH = `${addToPath}${delimiter}${env.PATH}`;
      return outcome;
    });
  }
  if (needs.includes("postgresql")) {
    await report("PostgreSQL", async (doing) => {
      const { path, outcome } = await providePostgresql(context, doing);
      found.SEKISHO_POSTGRES = path;
      return outcome;
    });
  }
  if (needs.includes("curl")) await report("curl", (doing) => provideCurl(context, doing));
  if (needs.includes("envoy")) {
    await report("Envoy", async (doing) => {
      const { path, outcome } = await provideEnvoy(context, doing);
      found.SEKISHO_ENVOY = path;
      return outcome;
    });
  }
  await report("dependencies", (doing) => provideDependencies(context, doing));
  await report("build", (doing) => provideBuild(context, doing));
  if (needs.includes("earlier version")) {
    await report("earlier version", async (doing) => {
      const { path, outcome } = await provideEarlierVersion(context, doing);
      found.EARLIER_VERSION = path;
      return outcome;
    });
  }
  return found;
}

async function requireNodeVersion() {
  const { engines } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const [leastMajor, leastMinor] = engines.node.match(/\d+/g).map(Number);
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > leastMajor || (major === leastMajor && minor >= leastMinor)) {
    return process.versions.node;
  }
  throw new SetUpFault(
    `This is Node.js ${process.versions.node} (${process.execPath}); Sekisho needs ${engines.node}.\n` +
      "  Install a newer Node.js, or put one that you have first on PATH, and run this again.",
  );
}

/** Lines that a POSIX shell can evaluate. */
function printEnvironment(found) {
  for (const [name, value] of Object.entries(found)) {
    process.stdout.write(`export ${name}='${value.replaceAll("'", `'\\''`)}'\n`);
  }
}

async function main([name, ...args]) {
  const { env } = process;
  const printEnv = name === "setup" && args[0] === "--print-env";
  const isKnown =
    name === "setup" ? args.length === (printEnv ? 1 : 0) : Object.hasOwn(PROGRAMS, name ?? "");
  if (!isKnown) throw new SetUpFault(USAGE, 2);
  const program = name === "setup" ? SET_UP_ALONE : PROGRAMS[name];
  const { redisMayBeGiven } = program;
  const needs = name === "test" ? needsOfTests(args) : program.needs;

  // With --print-env, stdout is for the shell alone.
  const report = createReport(printEnv ? process.stderr : process.stdout);
  const found = await stoppable(async (stop) => {
    const giveBack = await takeSetUpTurn({ root: ROOT, stop }, () => {
      process.stderr.write("  another run is setting up this checkout: waiting for it\n");
    });
    return setUp({ env, stop, report, redisMayBeGiven, needs }).finally(giveBack);
  });
  const used = [];
  if (redisMayBeGiven) used.push("SEKISHO_REDIS_URL");
  if (needs.includes("envoy")) used.push("SEKISHO_ENVOY");
  if (needs.includes("postgresql")) used.push("SEKISHO_POSTGRES");
  await requireSettings({ root: ROOT, env, used });
  if (printEnv) printEnvironment(found);
  if (program.args === undefined) return 0;

  // What an earlier run reported must not be taken for this one's report.
  await mkdir(join(ROOT, "dist"), { recursive: true });
  for (const old of REPORTS[name] ?? []) await rm(join(ROOT, old), { force: true });
  if (name === "guarantee" && args[0] === "--short") {
    args.shift();
    found.GUARANTEE = "short";
    // Sentinels and a cluster take their time to settle after each fault.
    args.push("--testPathIgnorePatterns=test/guarantee/topologies");
  }
  const runs = name === "test" && args.length === 0 ? ALL_TESTS : [[...program.args, ...args]];
  const exitCode = await runInTurn(runs, { ...env, ...found });
  if (name === "test" && args.length === 0) process.stdout.write(await slowestFiles(REPORTS.test));
  return exitCode;
}

/** By jest's reports: a line for each of the files that took longest. */
async function slowestFiles(reports) {
  const files = [];
  for (const report of reports) {
    const text = await readFile(join(ROOT, report), "utf8").catch(() => undefined);
    if (text === undefined) continue;
    for (const { name, startTime, endTime } of JSON.parse(text).testResults) {
      files.push({ name: relative(ROOT, name), ms: endTime - startTime });
    }
  }
  const slowest = files.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST_MAX);
  const lines = slowest.map(({ name, ms }) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${name}\n`);
  return ["\nThe slowest test files:\n", ...lines].join("");
}

/** Each one, also after one that failed, but none after one that a signal ended. */
async function runInTurn(runs, env) {
  let exitCode = 0;
  for (const args of runs) {
    process.stdout.write("\n");
    const context = { env, cwd: ROOT, notices: process.stderr };
    const code = await supervise(process.execPath, args, context);
    if (code >= EXIT_CODES_OF_SIGNALS) return code;
    exitCode ||= code;
  }
  return exitCode;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // A fault of the system (no space, no permission) names the file itself; all else is a bug.
  const isSystemFault = error.syscall !== undefined;
  if (!isSystemFault && !(error instanceof SetUpFault)) throw error;
  process.stderr.write(`\n${error.message}\n`);
  process.exitCode = error.exitCode ?? 1;
}
