import { findCommand, outputExcerpt, runCommand } from "./command.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

/** How long to wait for another run of apt. */
const LOCK_TIMEOUT_S = 60;

/**
 * Installs a Debian package, as root.
 * @param {object} context
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {object} wanted
 * @param {string} wanted.name of the package
 * @param {string} wanted.missing what was looked for and not found, the beginning of a sentence
 * @param {string} wanted.howToSupply how to install it by hand
 * @param {(text: string) => void} doing
 */
export async function installDebianPackage({ env, stop }, wanted, doing) {
  const { name, missing, howToSupply } = wanted;
  if (findCommand("apt-get", env) === undefined) {
    throw new SetUpFault(`${missing}, and there is no apt-get to install it with.\n${howToSupply}`);
  }
  if (process.getuid?.() !== 0) {
    throw new SetUpFault(`${missing}, and only root can install a package here.\n${howToSupply}`);
  }
  const options = { env: { ...env, DEBIAN_FRONTEND: "noninteractive" }, stop, mustFinish: true };
  // Another run of apt may hold the lock just now.
  const wait = ["-o", `DPkg::Lock::Timeout=${LOCK_TIMEOUT_S}`];
  const install = [...wait, "install", "-y", "--no-install-recommends", name];
  doing(`installing ${name} with apt-get`);
  if ((await runCommand("apt-get", install, options)).succeeded) return;
  // Package lists that are missing or too old are the usual reason.
  doing("updating apt-get's package lists");
  const update = await runCommand("apt-get", [...wait, "update"], options);
  doing(`installing ${name} with apt-get`);
  const second = await runCommand("apt-get", install, options);
  if (second.succeeded) return;
  throw new SetUpFault(
    `${missing}, and apt-get could not install ${name}:\n` +
      `${outputExcerpt(`${update.succeeded ? "" : `${update.output}\n`}${second.output}`)}\n` +
      howToSupply,
  );
}
