import { spawn, type ChildProcessByStdio } from "node:child_process";
import { randomUUID } from "node:crypto";
import type { Readable, Writable } from "node:stream";
import { waitFor } from "../../dev/wait-for.js";

const END_TIMEOUT_MS = 30_000;

export interface Ran {
  readonly status: number;
  readonly printed: string;
  /** Standard error. */
  readonly complained: string;
}

/** One bash that runs commands bit by bit, so that variables and background programs last. */
export class BashSession {
  readonly #bash: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #ended: Promise<void>;
  #over = false;
  #printed = "";
  #complained = "";
  /** Programs that it has put into the background. */
  #background: readonly number[] = [];

  constructor(options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv }) {
    this.#bash = spawn("bash", ["--noprofile", "--norc"], { ...options, stdio: "pipe" });
    this.#bash.stdout.setEncoding("utf8").on("data", (text: string) => (this.#printed += text));
    this.#bash.stderr.setEncoding("utf8").on("data", (text: string) => (this.#complained += text));
    // A bash that has ended does not read; the next command then says so.
    this.#bash.stdin.on("error", () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#bash.once("error", (error) => (this.#complained += error.message));
      this.#bash.once("close", () => {
        this.#over = true;
        resolve();
      });
    });
    this.#bash.stdin.write("set -uo pipefail\n");
  }

  /** Rejects if it takes longer than `timeoutMs`, or bash itself ends. */
  async run(commands: string, timeoutMs: number): Promise<Ran> {
    const mark = randomUUID();
    this.#printed = "";
    this.#complained = "";
    this.#bash.stdin.write(`${commands}\necho "${mark} $? $(jobs -rp | tr '\\n' ' ')"\n`);
    const end = new RegExp(`${mark} ([0-9]+) ([0-9 ]*)\n`);
    const [, status = "", pids = ""] = await waitFor(
      () => {
        if (this.#over) throw new Error(`bash ended\n${this.#complained}`);
        return end.exec(this.#printed) ?? undefined;
      },
      {
        what: `the commands to end\n${commands}`,
        timeoutMs,
        failure: (message) => new Error(`${message}\n${this.#printed}\n${this.#complained}`),
      },
    );
    this.#background = pids.trim().split(/ +/).filter(Boolean).map(Number);
    return {
      status: Number(status),
      printed: this.#printed.replace(end, ""),
      complained: this.#complained,
    };
  }

  /** Ends what it has started, and itself. */
  async close(): Promise<void> {
    for (const pid of this.#background) signal(pid, "SIGTERM");
    this.#bash.stdin.end("wait\n");
    const timer = setTimeout(() => {
      for (const pid of this.#background) signal(pid, "SIGKILL");
      this.#bash.kill("SIGKILL");
    }, END_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}
