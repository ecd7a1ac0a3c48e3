import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

import { findCommand, outputExcerpt, runCommand } from "./command.mjs";
import { installDebianPackage } from "./install-debian-package.mjs";
import { SetUpFault } from "./set-up-fault.mjs";
import { cacheFolder } from "./user-cache.mjs";

/** The revocation log is trimmed by `XADD … MINID ~`, which Redis has had since 6.2. */
const MINIMUM = { major: 6, minor: 2 };

/**
 * Debian's `redis-server` is a symbolic link to `redis-check-rdb` (the program picks its role by the
 * name it is called by), and that file is in the package `redis-tools`, which brings no service. So
 * nothing has to be stopped or disabled: the package and a link of the right name are enough.
 */
const DEBIAN_PACKAGE = "redis-tools";
const DEBIAN_PROGRAM = "redis-check-rdb";

const HOW_TO_SUPPLY =
  "  Any one of these will do; then run this again:\n" +
  `    - on Debian or Ubuntu, as root: apt-get install --no-install-recommends ${DEBIAN_PACKAGE}\n` +
  "      (it holds the program without a service)\n" +
  "    - elsewhere, install Redis 6.2 or later, for example with: brew install redis\n" +
  "    - put the folder of a redis-server that you already have on PATH\n" +
  "    - for the demo and the benchmark only, set SEKISHO_REDIS_URL to a Redis that runs";

/**
 * Finds a `redis-server` that can be started, installing Debian's program if there is none.
 * @param {object} context
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<{ path: string, outcome: string, addToPath?: string }>} `addToPath`: the folder
 *   that holds only this program, where it is not on PATH already
 */
export async function provideRedisServer({ env, stop }, doing) {
  const onPath = findCommand("redis-server", env);
  if (onPath !== undefined) {
    const version = await requireVersion(onPath, { env, stop });
    return { path: onPath, outcome: `${version} at ${onPath}` };
  }
  let how = "";
  if (findCommand(DEBIAN_PROGRAM, env) === undefined) {
    const wanted = {
      name: DEBIAN_PACKAGE,
      missing: "redis-server was not found on PATH",
      howToSupply: HOW_TO_SUPPLY,
    };
    await installDebianPackage({ env, stop }, wanted, doing);
    how = `, installed with apt-get as part of ${DEBIAN_PACKAGE}`;
  }
  const program = findCommand(DEBIAN_PROGRAM, env);
  if (program === undefined) {
    throw new SetUpFault(
      `The package ${DEBIAN_PACKAGE} is installed, but it brought no ${DEBIAN_PROGRAM}.\n` +
        HOW_TO_SUPPLY,
    );
  }
  const folder = join(cacheFolder(env), "redis-server");
  const path = await linkAs(folder, program);
  const version = await requireVersion(path, { env, stop });
  return { path, outcome: `${version} at ${path}, a link to ${program}${how}`, addToPath: folder };
}

/** The link is renamed into place, so that runs at the same time never see it missing. */
async function linkAs(folder, program) {
  const path = join(folder, "redis-server");
  const fresh = join(folder, `.redis-server-${process.pid}`);
  await mkdir(folder, { recursive: true });
  await rm(fresh, { force: true });
  await symlink(program, fresh);
  await rename(fresh, path);
  return path;
}

async function requireVersion(path, { env, stop }) {
  const { output } = await runCommand(path, ["--version"], { env, stop });
  const match = /\bserver v=((\d+)\.(\d+)\S*)/.exec(output);
  if (match === null) {
    throw new SetUpFault(
      `${path} --version does not answer as a Redis server does:\n${outputExcerpt(output)}\n` +
        HOW_TO_SUPPLY,
    );
  }
  const [, version, major, minor] = match;
  const { major: leastMajor, minor: leastMinor } = MINIMUM;
  if (Number(major) < leastMajor || (Number(major) === leastMajor && Number(minor) < leastMinor)) {
    throw new SetUpFault(
      `${path} is Redis ${version}; Sekisho needs ${leastMajor}.${leastMinor} or later.\n` +
        HOW_TO_SUPPLY,
    );
  }
  return version;
}
