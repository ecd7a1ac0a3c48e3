import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { SetUpFault } from "./set-up-fault.mjs";

/**
 * Checks the `SEKISHO_*` variables by the programs' own table. It is compiled TypeScript, so this
 * comes after the build. What the script does not use is no fault, unless nobody uses it.
 * @param {object} context
 * @param {string} context.root the checkout
 * @param {NodeJS.ProcessEnv} context.env
 * @param {string[]} context.used the variables that the script uses
 */
export async function requireSettings({ root, env, used }) {
  const compiled = join(root, "dist", "src", "config", "read-variables.js");
  const { describeFaults, readVariable, unknownVariables } = await import(
    pathToFileURL(compiled).href
  );
  const faults = [...unknownVariables(env)];
  for (const name of used) readVariable(env, name, faults);
  if (faults.length > 0) throw new SetUpFault(describeFaults(faults), 2);
}
