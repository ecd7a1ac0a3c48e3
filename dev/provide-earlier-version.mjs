import { existsSync } from "node:fs";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";

import { findCommand, outputExcerpt, runCommand } from "./command.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

/** The last commit of version 0.1.0: what an upgrade begins with. */
export const EARLIER_COMMIT = "b511f5e9f93605de4eb4ab3bde684dee4210516f";

/** What the programs are built from. */
const SOURCES = [
  "src",
  "proto",
  "migrations",
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
];

/**
 * Builds the programs of the earlier version from the git history, once: below `node_modules`, whose
 * packages they use. Both versions have the same dependencies.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<{ path: string, outcome: string }>} the folder of the version
 */
export async function provideEarlierVersion({ root, env, stop }, doing) {
  const short = EARLIER_COMMIT.slice(0, 7);
  const cache = join(root, "node_modules", ".cache", "sekisho-earlier");
  const path = join(cache, EARLIER_COMMIT);
  if (existsSync(path)) return { path, outcome: `${short}, up to date` };
  if (findCommand("git", env) === undefined) {
    throw new SetUpFault(
      "git was not found on PATH: the earlier version is built from its history",
    );
  }
  const run = async (command, args, cwd, toDo) => {
    const { succeeded, output } = await runCommand(command, args, { cwd, env, stop });
    if (succeeded) return output;
    throw new SetUpFault(
      `The earlier version ${short} could not be built: ${command} failed:\n` +
        `${outputExcerpt(output)}\n  ${toDo}`,
    );
  };
  const fetch =
    "The history must reach back to that commit. In a clone that is shallow: git fetch --unshallow, " +
    "then run this again.";
  await run("git", ["cat-file", "-e", `${EARLIER_COMMIT}^{commit}`], root, fetch);

  doing(`building ${short} from the git history`);
  const making = join(cache, `making-${process.pid}`);
  try {
    await mkdir(making, { recursive: true });
    const archive = join(making, "sources.tar");
    const sources = ["archive", "--output", archive, EARLIER_COMMIT, ...SOURCES];
    await run("git", sources, root, fetch);
    await run("tar", ["-xf", archive], making, "Install tar, and run this again.");
    // The code generator looks for its plugin there.
    await symlink(join(root, "node_modules"), join(making, "node_modules"));
    const inModules = (name) => join(root, "node_modules", ".bin", name);
    const fix = "If a dependency differs by now, build that version with its own.";
    const generate = ["generate", "proto", "--template", "proto/buf.gen.yaml"];
    await run(inModules("buf"), generate, making, fix);
    // Its types were checked when it was committed.
    const build = ["-p", "tsconfig.build.json", "--noCheck"];
    await run(inModules("tsc"), build, making, fix);
    await rm(archive);
    await rename(making, path);
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return { path, outcome: `${short}, built from the git history` };
}
