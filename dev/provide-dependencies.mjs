import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { findCommand, outputExcerpt, runCommand } from "./command.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

/**
 * Makes `node_modules` hold what `package-lock.json` says.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<string>} what was found or done
 */
export async function provideDependencies({ root, env, stop }, doing) {
  if (await areInstalled(root)) return "up to date";
  if (findCommand("npm", env) === undefined) {
    throw new SetUpFault(
      "npm was not found on PATH.\n" +
        "  It comes with Node.js in most packages; on Debian it is the package npm.",
    );
  }
  doing("installing with npm ci");
  // Development dependencies are needed to build, also where the user's settings leave them out.
  const args = ["ci", "--include=dev", "--no-audit", "--no-fund"];
  args.push("--no-update-notifier", "--loglevel=error");
  const { succeeded, output } = await runCommand("npm", args, { cwd: root, env, stop });
  if (!succeeded) {
    throw new SetUpFault(
      `npm ci failed in ${root}:\n${outputExcerpt(output)}\n` +
        "  Fix what it names (usually a registry that cannot be reached) and run this again.",
    );
  }
  return "installed with npm ci";
}

/**
 * npm records what it installed in `node_modules/.package-lock.json`, as its last act: after an
 * install that was cut short the file is missing. Every package of the lock file must be there in
 * the same version, except optional ones, which npm leaves out on other platforms.
 */
async function areInstalled(root) {
  const wanted = await packagesOf(join(root, "package-lock.json"));
  const installed = await packagesOf(join(root, "node_modules", ".package-lock.json"));
  if (wanted === undefined || installed === undefined) return false;
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === "") return true;
    const found = installed[path];
    if (found === undefined) return optional === true;
    return found.version === version && found.integrity === integrity;
  });
}

async function packagesOf(lockFile) {
  try {
    return JSON.parse(await readFile(lockFile, "utf8")).packages;
  } catch {
    // Missing or cut off: npm ci makes it anew, or names what is wrong with it.
    return undefined;
  }
}
