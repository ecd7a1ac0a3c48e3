import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { outputExcerpt, runCommand } from "./command.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

/** What the build reads, and what it writes: `src/generated` and `dist`. */
const FOLDERS = ["src", "proto", "dev", "bench", "dist/src", "dist/dev", "dist/bench"];
const FILES = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];
const READ_OR_WRITTEN = /\.(ts|json|proto|yaml|js)$/;

/** The benchmark writes its results here; the build has nothing to do with them. */
const RESULTS = "bench/results";

/**
 * Makes `dist` what `npm run build` makes of the sources.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<string>} what was found or done
 */
export async function provideBuild({ root, env, stop }, doing) {
  const stampFile = join(root, "dist", ".build-stamp");
  const stamp = await readFile(stampFile, "utf8").catch(() => "");
  if (stamp === (await digestOf(root))) return "up to date";
  doing("building with npm run build");
  await rm(stampFile, { force: true });
  // tsc believes this file rather than look whether its output is still there.
  await rm(join(root, "dist", "build.tsbuildinfo"), { force: true });
  const { succeeded, output } = await runCommand("npm", ["run", "build"], { cwd: root, env, stop });
  if (!succeeded) {
    throw new SetUpFault(
      `The build failed in ${root}:\n${outputExcerpt(output, 40)}\n` +
        "  Fix the sources (npm run build shows the same) and run this again.",
    );
  }
  await mkdir(join(root, "dist"), { recursive: true });
  await writeFile(stampFile, await digestOf(root));
  return "built";
}

/**
 * A digest of sources and products together, taken when the build has ended: whatever is changed,
 * added or deleted on either side afterwards asks for a new build. Contents are read rather than
 * times compared, because git sets times anew; that costs some hundredths of a second.
 */
async function digestOf(root) {
  const paths = [...FILES];
  for (const folder of FOLDERS) paths.push(...(await filesBelow(root, folder)));
  const hash = createHash("sha256");
  for (const path of paths.sort()) {
    const content = await readFile(join(root, path)).catch(() => undefined);
    hash.update(`${path}\0${content?.length ?? "missing"}\0`);
    if (content !== undefined) hash.update(content);
  }
  return hash.digest("hex");
}

async function filesBelow(root, folder) {
  const paths = [];
  const entries = await readdir(join(root, folder), { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory() && path !== RESULTS) paths.push(...(await filesBelow(root, path)));
    else if (entry.isFile() && READ_OR_WRITTEN.test(entry.name)) paths.push(path);
  }
  return paths;
}
