import { mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { findCommand, isExecutable, outputExcerpt, runCommand } from "./command.mjs";
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

/** How long to wait for another run of apt. */
const LOCK_TIMEOUT_S = 60;

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
  await installDebianPackage(context, doing);
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

async function installDebianPackage({ env, stop, debianSettings = DEBIAN_SETTINGS }, doing) {
  const missing =
    `${PROGRAMS.join(" and ")} of PostgreSQL ${MAJOR_MINIMUM} or later were not found ` +
    `on PATH, nor below ${DEBIAN_PROGRAMS}`;
  if (findCommand("apt-get", env) === undefined) {
    throw new SetUpFault(
      `${missing},\nand there is no apt-get to install them with.\n${HOW_TO_SUPPLY}`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new SetUpFault(`${missing},\nand only root can install them here.\n${HOW_TO_SUPPLY}`);
  }
  const options = { env: { ...env, DEBIAN_FRONTEND: "noninteractive" }, stop, mustFinish: true };
  // The machine itself may be installing something just now.
  const wait = ["-o", `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`];
  const install = [...wait, "install", "-y", "--no-install-recommends", DEBIAN_PACKAGE];
  await withoutCluster(debianSettings, async () => {
    doing(`installing ${DEBIAN_PACKAGE} with apt-get`);
    if ((await runCommand("apt-get", install, options)).succeeded) return;
    // Package lists that are missing or too old are the usual reason.
    doing("updating apt-get's package lists");
    const update = await runCommand("apt-get", [...wait, "update"], options);
    doing(`installing ${DEBIAN_PACKAGE} with apt-get`);
    const second = await runCommand("apt-get", install, options);
    if (second.succeeded) return;
    throw new SetUpFault(
      `${missing},\nand apt-get could not install ${DEBIAN_PACKAGE}:\n` +
        `${outputExcerpt(`${update.succeeded ? "" : `${update.output}\n`}${second.output}`)}\n` +
        HOW_TO_SUPPLY,
    );
  });
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
