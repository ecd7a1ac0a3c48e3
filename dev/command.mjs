import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * Whether a file is there and may be executed.
 * @param {string} path
 */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * The first executable of that name on `PATH`, as the shell would find it.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 * @returns {string | undefined} its path
 */
export function findCommand(name, env) {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    if (folder !== "" && isExecutable(join(folder, name))) return join(folder, name);
  }
  return undefined;
}

/**
 * Runs a command to its end and keeps what it printed. A command that fails or cannot be started is
 * an ordinary result; only a stop is thrown, after the command has ended.
 * @param {string} command
 * @param {string[]} args
 * @param {object} options
 * @param {NodeJS.ProcessEnv} options.env
 * @param {AbortSignal} options.stop
 * @param {string} [options.cwd]
 * @param {boolean} [options.mustFinish] let it end by itself even when asked to stop: a package
 *   manager that is stopped halfway leaves the machine in a state that it has to be repaired from
 * @returns {Promise<{ succeeded: boolean, output: string }>} output: stdout, then stderr
 */
export async function runCommand(command, args, { env, stop, cwd, mustFinish = false }) {
  stop.throwIfAborted();
  const result = await new Promise((resolve) => {
    const child = spawn(command, args, {
      env,
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      // A session of its own keeps the terminal's Ctrl-C away from it.
      detached: mustFinish,
      ...(mustFinish ? {} : { signal: stop }),
    });
    const stdout = [];
    const stderr = [];
    let startFault = "";
    child.stdout.on("data", (chunk) => stdout.push(chunk));
    child.stderr.on("data", (chunk) => stderr.push(chunk));
    child.on("error", (error) => (startFault = error.message));
    child.on("close", (code) => {
      const output = Buffer.concat([...stdout, ...stderr]).toString() + startFault;
      resolve({ succeeded: code === 0, output: output.trim() });
    });
  });
  stop.throwIfAborted();
  return result;
}

/**
 * Beginning and end of a command's output, indented, for a fault's message: npm tells the cause
 * first, compilers and apt last.
 * @param {string} output
 * @param {number} [linesMax]
 */
export function outputExcerpt(output, linesMax = 20) {
  const lines = output.split("\n");
  const half = linesMax / 2;
  const shown =
    lines.length <= linesMax ? lines : [...lines.slice(0, half), "…", ...lines.slice(-half)];
  return shown.map((line) => `    ${line}`).join("\n");
}
