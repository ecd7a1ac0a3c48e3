import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { SetUpFault } from "./set-up-fault.mjs";

/**
 * Checks the `SEKISHO_*` variables by the programs' own table. It is compiled TypeScript, so this
 * comes after the build. A variable that the script does not use is a fault only if it is unknown.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {NodeJS.ProcessEnv} context.env
 * @param {string[]} context.used the variables that the script uses
 */
export async function requireSettings({ root, env, used }) {
  const compiled = (...path) => pathToFileURL(join(root, "dist", "src", ...path)).href;
  const { VARIABLES, faultsOfNames } = await import(compiled("cli", "variables.js"));
  const { VariableReader, describeFaults } = await import(
    compiled("runtime", "config", "read-variables.js")
  );
  const read = new VariableReader(VARIABLES, env, faultsOfNames(env));
  for (const name of used) read.value(name);
  if (read.faults.length > 0) throw new SetUpFault(describeFaults(read.faults), 2);
}
