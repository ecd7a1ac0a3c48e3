/**
 * A started program: its last lines are buffered, its life is bounded by the parent's.
 *
 * Children stay in the parent's process group, so that the parent's supervisor can end all of them.
 * If the parent exits without having stopped them, they are killed with it.
 */
import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

import { withTimeout } from "../src/runtime/with-timeout.js";
import { waitFor } from "./wait-for.js";

/** How many of a program's latest lines are buffered. */
const LINES_MAX = 200;
/** How many of them an error message shows. */
const LINES_SHOWN = 8;
/** Time that a program has to end after SIGTERM before it is killed. */
const STOP_TIMEOUT_MS = 10_000;

export interface Command {
  /** Its name in messages. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** The whole environment of the program; the parent's if left out. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** The user that it runs as; the parent's if left out. Only root can choose. */
  readonly user?: OsUser;
}

/** A user of the operating system, with its main group. */
export interface OsUser {
  readonly uid: number;
  readonly gid: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started. */
  readonly error?: Error;
}

type LineListener = (line: string) => void;

export class StartedProcess {
  readonly name: string;
  /** Settles when the program has ended and its output was read to the end; never rejects. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #lines: string[] = [];
  readonly #listeners = new Set<LineListener>();
  #exit: Exit | undefined;

  constructor(command: Command) {
    this.name = command.name;
    this.#child = spawn(command.file, command.args, {
      stdio: ["ignore", "pipe", "pipe"],
      ...(command.env === undefined ? {} : { env: command.env }),
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      ...command.user,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => this.#buffer(line));
    }
    const killWithParent = () => this.#child.kill("SIGKILL");
    process.setMaxListeners(Math.max(process.getMaxListeners(), 100));
    process.once("exit", killWithParent);
    this.exited = new Promise<Exit>((resolve) => {
      this.#child.once("error", (error) => resolve({ code: null, signal: null, error }));
      this.#child.once("close", (code, signal) => resolve({ code, signal }));
    }).then((exit) => {
      process.removeListener("exit", killWithParent);
      this.#exit = exit;
      return exit;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** The last lines that it printed, oldest first, standard output and error in the order read. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Calls back for each line from now on, until the returned function is called. */
  onLine(listener: LineListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Waits until `look` sees something, for at most `timeoutMs` and not longer than the program runs.
   *
   * @throws Error that shows the last lines
   */
  async waitFor<T>(
    look: () => T | undefined | Promise<T | undefined>,
    bounds: { readonly what: string; readonly timeoutMs: number },
  ): Promise<T> {
    const lookWhileRunning = async () => {
      const seen = await look();
      if (seen === undefined && this.#exit !== undefined) {
        throw this.failure(`ended (${describeExit(this.#exit)}) before ${bounds.what}`);
      }
      return seen;
    };
    const failure = (message: string) => this.failure(message);
    return waitFor(lookWhileRunning, { ...bounds, failure });
  }

  /** Waits for a line, buffered or new, for which `read` returns a value. Throws as waitFor. */
  async waitForLine<T>(
    read: (line: string) => T | undefined,
    bounds: { readonly what: string; readonly timeoutMs: number },
  ): Promise<T> {
    let seen: T | undefined;
    const look = (line: string) => {
      seen ??= read(line);
    };
    this.#lines.forEach(look);
    const forget = this.onLine(look);
    try {
      return await this.waitFor(() => seen, bounds);
    } finally {
      forget();
    }
  }

  /** An error about this program that shows what it printed last. */
  failure(message: string): Error {
    const shown = this.#lines.slice(-LINES_SHOWN).map((line) => `\n  | ${line}`);
    const last = shown.length === 0 ? "\n  (it printed nothing)" : shown.join("");
    return new Error(`${this.name}: ${message}${last}`);
  }

  /** Suspends it (SIGSTOP): its sockets stay open, but it does not answer. */
  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<Exit> {
    this.#child.kill("SIGKILL");
    return this.exited;
  }

  /** Asks it to end, even if it is paused, and kills it after `timeoutMs`. */
  async stop(timeoutMs = STOP_TIMEOUT_MS, signal: NodeJS.Signals = "SIGTERM"): Promise<Exit> {
    this.#child.kill(signal);
    this.resume();
    const timeout = () => new Error(`still running after ${timeoutMs} ms`);
    return withTimeout(this.exited, timeoutMs, timeout).catch(() => this.kill());
  }

  #buffer(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
    for (const listener of this.#listeners) listener(line);
  }
}

export function describeExit(exit: Exit): string {
  if (exit.error !== undefined) return exit.error.message;
  return exit.signal === null ? `exit code ${exit.code ?? "unknown"}` : exit.signal;
}

/** The JSON value that a line is, or undefined where it is none. */
export function parseJsonLine(line: string): unknown {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
