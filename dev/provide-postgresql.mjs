import { mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { findCommand, isExecutable, runCommand } from "./command.mjs";
import { installDebianPackage } from "./install-debian-package.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

/** The oldest that the PostgreSQL project still supports. */
const MAJOR_MINIMUM = 14;

/** What is needed of PostgreSQL, all in one folder. */
const PROGRAMS = ["initdb", "postgres"];

/** Where Debian puts the programs: below, `15/bin`, but not on PATH. */
const DEBIAN_PROGRAMS = "/usr/lib/postgresql";
/** Depends on Debian's one version of it, whichever that is. */
const DEBIAN_PACKAGE = "postgresql";
/** What the package reads, in the end, to know whether to make a database cluster of its own. */
const DEBIAN_SETTINGS = "/etc/postgresql-common/createcluster.d";

const HOW_TO_SUPPLY =
  "  Any one of these will do; then run this again:\n" +
  `    - on Debian or Ubuntu, as root: apt-get install --no-install-recommends ${DEBIAN_PACKAGE}\n` +
  "      (run by hand, that also starts a server, which Sekisho does not need)\n" +
  `    - elsewhere, install PostgreSQL ${MAJOR_MINIMUM} or later, for example with:\n` +
  "      brew install postgresql\n" +
  `    - put the folder of the programs ${PROGRAMS.join(" and ")} that you already have on PATH,\n` +
  "      or set SEKISHO_POSTGRES to it";

/**
 * Finds PostgreSQL's programs, of which the tests start servers of their own: in the folder that
 * SEKISHO_POSTGRES names, on PATH, where Debian puts them or where pg_config says, installing
 * Debian's package if there are none.
 * @param {object} context
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {string} [context.debianPrograms] the folder of Debian's versions
 * @param {string} [context.debianSettings] the folder of the settings for new clusters
 * @param {(text: string) => void} doing
 * @returns {Promise<{ path: string, outcome: string }>} `path`: the folder of the programs
 */
export async function providePostgresql(context, doing) {
  const given = context.env.SEKISHO_POSTGRES ?? "";
  if (given !== "") {
    const named = resolve(given);
    const version = holdsPrograms(named) ? await versionIn(named, context) : undefined;
    if (version === undefined) {
      throw new SetUpFault(
        `SEKISHO_POSTGRES is "${named}", which is not a folder with ${PROGRAMS.join(" and ")}\n` +
          `  of PostgreSQL ${MAJOR_MINIMUM} or later.\n` +
          "  Give the folder of these programs, or unset it to have them found or installed.",
        2,
      );
    }
    return { path: named, outcome: `${version} in ${named} (SEKISHO_POSTGRES)` };
  }
  const there = await find(context);
  if (there !== undefined) return there;
  await installServer(context, doing);
  const installed = await find(context);
  if (installed === undefined) {
    throw new SetUpFault(
      `The package ${DEBIAN_PACKAGE} is installed, but it brought no PostgreSQL ` +
        `${MAJOR_MINIMUM} or later.\n${HOW_TO_SUPPLY}`,
    );
  }
  const how = `, installed with apt-get as ${DEBIAN_PACKAGE}`;
  return { ...installed, outcome: `${installed.outcome}${how}` };
}

async function find(context) {
  for (const folder of await likelyFolders(context)) {
    const version = holdsPrograms(folder) ? await versionIn(folder, context) : undefined;
    if (version !== undefined) return { path: folder, outcome: `${version} in ${folder}` };
  }
  return undefined;
}

/** In the order in which they are tried. */
async function likelyFolders({ env, stop, debianPrograms = DEBIAN_PROGRAMS }) {
  const initdb = findCommand("initdb", env);
  const versions = await readdir(debianPrograms).catch(() => []);
  const newestFirst = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a);
  // Its package is often there without the server's: then it names a folder without the programs.
  const pgConfig = await runCommand("pg_config", ["--bindir"], { env, stop });
  return [
    ...(initdb === undefined ? [] : [dirname(initdb)]),
    ...newestFirst.map((version) => join(debianPrograms, String(version), "bin")),
    ...(pgConfig.succeeded ? [pgConfig.output] : []),
  ];
}

function holdsPrograms(folder) {
  return PROGRAMS.every((name) => isExecutable(join(folder, name)));
}

/** Undefined where it is too old or does not answer as PostgreSQL does. */
async function versionIn(folder, { env, stop }) {
  const asked = await runCommand(join(folder, "postgres"), ["--version"], { env, stop });
  const match = /\(PostgreSQL\) ((\d+)\S*)/.exec(asked.output);
  return asked.succeeded && Number(match?.[2]) >= MAJOR_MINIMUM ? match[1] : undefined;
}

async function installServer(context, doing) {
  const { debianSettings = DEBIAN_SETTINGS } = context;
  const wanted = {
    name: DEBIAN_PACKAGE,
    missing:
      `${PROGRAMS.join(" and ")} of PostgreSQL ${MAJOR_MINIMUM} or later were not found on PATH,\n` +
      `nor below ${DEBIAN_PROGRAMS}`,
    howToSupply: HOW_TO_SUPPLY,
  };
  await withoutCluster(debianSettings, () => installDebianPackage(context, wanted, doing));
}

/**
 * The package makes a cluster and starts a server with it, unless a setting says no. It is set
 * only while apt runs, so that a version installed later is set up as Debian means it to be.
 */
async function withoutCluster(settings, work) {
  const file = join(settings, `sekisho-${process.pid}.conf`);
  const firstMade = await mkdir(settings, { recursive: true });
  try {
    await writeFile(file, "# Until Sekisho's set-up has ended.\ncreate_main_cluster = off\n");
    await work();
  } finally {
    await rm(file, { force: true });
    // Whatever holds something by now belongs to the package.
    if (firstMade !== undefined) await removeEmpty(settings, dirname(firstMade));
  }
}

/** Removes a folder and those above it below `end`, as far as they are empty. */
async function removeEmpty(folder, end) {
  for (let one = folder; one !== end; one = dirname(one)) {
    try {
      await rmdir(one);
    } catch {
      return;
    }
  }
}
