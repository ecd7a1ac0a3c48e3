/**
 * Checks what `npm publish` would publish: only what runs is in it, and it starts from the packed file
 * without development dependencies, in a folder of its own that is removed afterwards.
 *
 * Exit codes: 0 as it should be, 1 otherwise.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { runCommand } from "./command.mjs";
import { stoppable } from "./stop-signal.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");

/** What may be in it. */
const EXPECTED =
  /^(dist\/src\/.+\.js|migrations\/.+|envoy\.yaml|package\.json|npm-shrinkwrap\.json|README\.md|LICENSE|CHANGELOG\.md)$/;
/** Without these it does not work. */
const NEEDED = [
  "dist/src/main.js",
  "npm-shrinkwrap.json",
  "migrations/meta/_journal.json",
  "envoy.yaml",
  "LICENSE",
];

async function main(folder, stop) {
  const run = (command, args, cwd) => runCommand(command, args, { cwd, env: process.env, stop });
  const packed = await run("npm", ["pack", "--json", "--pack-destination", folder], ROOT);
  if (!packed.succeeded) return [`npm pack failed: ${packed.output}`];
  const [{ filename, files }] = JSON.parse(packed.output.slice(packed.output.indexOf("[")));
  const paths = files.map(({ path }) => path);
  const faults = [
    ...paths.filter((path) => !EXPECTED.test(path)).map((path) => `${path} does not belong in it`),
    ...NEEDED.filter((path) => !paths.includes(path)).map((path) => `${path} is missing in it`),
  ];
  const unpacked = join(folder, "package");
  const untarred = await run("tar", ["-xzf", filename], folder);
  if (!untarred.succeeded) return [...faults, `tar failed: ${untarred.output}`];
  // By the versions that the package names, whatever else the registry has.
  const install = ["ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"];
  const installed = await run("npm", install, unpacked);
  if (!installed.succeeded) return [...faults, `npm ci failed: ${installed.output}`];
  const { bin, version } = JSON.parse(await readFile(join(unpacked, "package.json"), "utf8"));
  const sekisho = (...args) => run(process.execPath, [bin.sekisho, ...args], unpacked);
  const told = await sekisho("--version");
  if (told.output.trim() !== version) faults.push(`sekisho --version says: ${told.output}`);
  for (const program of ["authz", "sessions"]) {
    const { output } = await sekisho(program);
    if (!output.includes("in the configuration")) {
      faults.push(`sekisho ${program} does not ask for its settings: ${output}`);
    }
  }
  process.stdout.write(`${filename}: ${paths.length} files, ${faults.length} faults\n`);
  return faults;
}

const folder = await mkdtemp(join(tmpdir(), "sekisho-package-"));
try {
  const faults = await stoppable((stop) => main(folder, stop));
  for (const fault of faults) process.stderr.write(`  ${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
