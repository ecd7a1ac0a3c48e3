import { findCommand, outputExcerpt, runCommand } from "./command.mjs";
import { installDebianPackage } from "./install-debian-package.mjs";
import { SetUpFault } from "./set-up-fault.mjs";

const HOW_TO_SUPPLY =
  "  The tests run the documents' examples with it. Install it, or put one that you have on PATH;\n" +
  "  then run this again. On Debian or Ubuntu, as root: apt-get install --no-install-recommends curl";

/**
 * Finds `curl`, installing Debian's if there is none.
 * @param {object} context
 * @param {NodeJS.ProcessEnv} context.env
 * @param {AbortSignal} context.stop
 * @param {(text: string) => void} doing
 * @returns {Promise<string>} its version, where it is, and how it came there
 */
export async function provideCurl(context, doing) {
  const { env, stop } = context;
  const wanted = {
    name: "curl",
    missing: "curl was not found on PATH",
    howToSupply: HOW_TO_SUPPLY,
  };
  const isThere = findCommand("curl", env) !== undefined;
  if (!isThere) await installDebianPackage(context, wanted, doing);
  const path = findCommand("curl", env);
  if (path === undefined) {
    throw new SetUpFault(
      `The package curl is installed, but it brought no curl.\n${HOW_TO_SUPPLY}`,
    );
  }
  const { output } = await runCommand(path, ["--version"], { env, stop });
  const [, version] = /^curl (\S+)/.exec(output) ?? [];
  if (version === undefined) {
    throw new SetUpFault(
      `${path} --version does not answer as curl does:\n${outputExcerpt(output)}\n${HOW_TO_SUPPLY}`,
    );
  }
  return `${version} at ${path}${isThere ? "" : ", installed with apt-get"}`;
}
