import { spawn } from "node:child_process";

import { repositoryRoot } from "../../dev/repository.js";
import { environmentWithoutSettings, mainIn } from "../../dev/sekisho-program.js";

const STACK = /^\s+at .*(:\d+:\d+|node:internal)/m;
/** Far longer than any command takes. */
const END_MS = 90_000;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/**
 * Runs the compiled command to its end; no settings but these reach it. `input`: on standard input;
 * `installation`: the folder of another version.
 *
 * @throws Error where it had to be killed, or printed a stack
 */
export async function sekisho(
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
  input = "",
  installation = repositoryRoot(),
): Promise<Ended> {
  const child = spawn(process.execPath, [mainIn(installation), ...args], {
    env: { ...environmentWithoutSettings(process.env), ...settings },
    stdio: ["pipe", "pipe", "pipe"],
    timeout: END_MS,
    killSignal: "SIGKILL",
  });
  // A command that does not read its input may end before it is written.
  child.stdin.on("error", () => undefined).end(input);
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  const said = `${out}${err}`;
  if (code === null || STACK.test(said)) throw new Error(`sekisho ${args.join(" ")}: ${said}`);
  return { code, out, err };
}
